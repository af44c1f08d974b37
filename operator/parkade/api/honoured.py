"""Fields that are accepted but not acted on in this release; the rows go as later releases act on them.

A field counts as set when its value differs from the default, so that defaults never accuse anybody.
"""

from typing import Any, Final

from parkade.api.base import Part, Resource

NOT_HONOURED: Final[dict[str, tuple[str, ...]]] = {
    "InferenceWorkload": ("spec.batch",),
    "VehicleNodePool": (),
    "TritonPool": ("spec.battery",),
    "Region": (),
    "GridEvent": ("spec.reduce", "spec.levers"),
    "VehicleCell": (),
}
"""Paths in the manifest's spelling; a path through a list means every entry."""


def unhonoured_fields(resource: Resource) -> tuple[str, ...]:
    """Name the fields that are set and not acted on yet, sorted; empty when every field is honoured."""
    kind = type(resource).__name__
    return tuple(sorted(path for path in NOT_HONOURED[kind] if _is_set(resource, path.split("."))))


def _is_set(value: Any, path: list[str]) -> bool:  # noqa: ANN401 -- any part, list or leaf
    """Whether the value at the path differs from its default, in any entry of a list on the way."""
    if isinstance(value, tuple):
        return any(_is_set(entry, path) for entry in value)
    if not isinstance(value, Part):
        return False
    name, field = next((n, f) for n, f in type(value).model_fields.items() if (f.alias or n) == path[0])
    inner = getattr(value, name)
    if len(path) > 1:
        return _is_set(inner, path[1:])
    return bool(field.is_required() or inner != field.get_default(call_default_factory=True))
