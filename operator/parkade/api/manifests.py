"""Manifests at the edge: text and dicts become frozen objects here, or a sentence that says what to mend."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from parkade.api.base import GROUP, VERSION, Part
from parkade.api.gridevent import GridEvent
from parkade.api.region import Region
from parkade.api.sentences import sentences
from parkade.api.tritonpool import TritonPool
from parkade.api.vehiclecell import VehicleCell
from parkade.api.vehiclenodepool import VehicleNodePool
from parkade.api.workload import InferenceWorkload
from parkade.errors import InvalidManifest

AnyResource = InferenceWorkload | VehicleNodePool | VehicleCell | TritonPool | Region | GridEvent

KINDS: Final[dict[str, type[AnyResource]]] = {
    "InferenceWorkload": InferenceWorkload,
    "VehicleNodePool": VehicleNodePool,
    "VehicleCell": VehicleCell,
    "TritonPool": TritonPool,
    "Region": Region,
    "GridEvent": GridEvent,
}


def parse(manifest: Mapping[str, Any]) -> AnyResource:
    """Make the frozen object of a manifest, with the same verdict as the API server would give.

    Raises:
        InvalidManifest: a rule is broken; every broken one is named with its field and remedy, one a line.
    """
    kind = manifest.get("kind")
    if manifest.get("apiVersion") != f"{GROUP}/{VERSION}" or kind not in KINDS:
        given = f"{manifest.get('apiVersion')} {kind}"
        raise InvalidManifest(f"{given} is not a kind of Parkade; use {GROUP}/{VERSION} and one of {', '.join(KINDS)}")
    plain = _as_stored(manifest)
    if kind == "InferenceWorkload" and isinstance(plain.get("metadata"), dict):
        plain["metadata"].setdefault("namespace", "default")
    try:
        text = json.dumps(plain, default=str)
        return KINDS[kind].model_validate_json(text, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        name = (plain.get("metadata") or {}).get("name", "without a name")
        lines = sorted({line for detail in error.errors() for line in sentences(detail)})
        raise InvalidManifest(f"{kind} {name} is invalid:\n" + "\n".join(f"  {line}" for line in lines)) from None


def check_update(new: AnyResource, old: AnyResource) -> None:
    """Refuse a change that the API server would refuse.

    Raises:
        InvalidManifest: a transition rule is broken.
    """
    broken = sorted(_broken_transitions(new, old, ""))
    if broken:
        lines = "\n".join(f"  {line}" for line in broken)
        raise InvalidManifest(f"{new.kind} {new.metadata.name} cannot be changed so:\n{lines}")


def read_manifests(text: str) -> Iterator[dict[str, Any]]:
    """Yield every manifest of a YAML or JSON text, the items of a List one by one; times stay text.

    Raises:
        InvalidManifest: the text is not YAML, or a document is not an object.
    """
    try:
        documents = list(yaml.load_all(text, Loader=_Loader))
    except yaml.YAMLError as error:
        raise InvalidManifest(f"this is not YAML: {error}; mend it at that line") from None
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict):
            raise InvalidManifest("a manifest is an object with apiVersion, kind and metadata; this is not")
        if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
            yield from document["items"]
        else:
            yield document


def load(path: Path) -> tuple[AnyResource, ...]:
    """Read Parkade's kinds from a file, or from every .yaml, .yml and .json file of a folder; other kinds are left out.

    Raises:
        InvalidManifest: nothing is there, a file cannot be read, or a rule is broken; the message names the file.
    """
    if not path.exists():
        raise InvalidManifest(f"{path} does not exist; name a manifest or a folder of them")
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.suffix in (".yaml", ".yml", ".json"))
    found: list[AnyResource] = []
    for file in files:
        try:
            documents = read_manifests(file.read_text(encoding="utf-8"))
            found += [parse(m) for m in documents if str(m.get("apiVersion", "")).startswith(f"{GROUP}/")]
        except (InvalidManifest, OSError, UnicodeDecodeError) as error:
            raise InvalidManifest(f"{file}: {error}") from None
    return tuple(found)


class _Loader(yaml.SafeLoader):
    """YAML as kubectl reads it: a time is text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _as_stored(value: Any) -> Any:  # noqa: ANN401 -- any JSON
    """Drop null fields and the zero fraction of whole numbers, as the API server does before it validates."""
    if isinstance(value, Mapping):
        return {key: _as_stored(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_as_stored(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _broken_transitions(new: Any, old: Any, where: str) -> Iterator[str]:  # noqa: ANN401 -- any two parts
    """Walk two objects side by side; list entries have no old self unless they are keyed, and no rule needs that."""
    if not (isinstance(new, Part) and isinstance(old, Part)):
        return
    for rule in new.transitions:
        if not rule.holds(new, old):
            yield f"{'.'.join(filter(None, (where, rule.field)))}: Invalid value: {rule.message}"
    for name, field in type(new).model_fields.items():
        path = ".".join(filter(None, (where, field.alias or name)))
        yield from _broken_transitions(getattr(new, name), getattr(old, name), path)
