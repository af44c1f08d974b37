"""Values as JSON documents of a stable shape: `apiVersion`, `kind`, and fields in the spelling of manifests."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from parkade.api.base import Part, manifest_name

API_VERSION: Final = "cli.parkade.dev/v1"
"""Fields are added to it and never taken away; another shape would be v2."""


def document(kind: str, value: object) -> str:
    """One JSON object, indented, ending a line.

    Args:
        kind: the name of its shape, as docs/kubectl.md describes it.
        value: a dataclass.
    """
    return json.dumps({"apiVersion": API_VERSION, "kind": kind} | plain(value), indent=2) + "\n"


def plain(value: object) -> Any:  # noqa: ANN401 -- any JSON
    """A value as JSON: times in RFC 3339, members of enums as their word."""
    if isinstance(value, Part):
        return value.model_dump(mode="json", by_alias=True)
    if is_dataclass(value) and not isinstance(value, type):
        return {manifest_name(it.name): plain(getattr(value, it.name)) for it in fields(value)}
    match value:
        case datetime():
            shown: object = value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        case Enum():
            shown = value.value
        case Mapping():
            shown = {str(key): plain(entry) for key, entry in value.items()}
        case tuple() | list():
            shown = [plain(entry) for entry in value]
        case float():
            shown = round(value, 6)
        case _:
            shown = value
    return shown
