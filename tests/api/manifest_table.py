"""The table of manifests, as cases for both judges."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parkade.api import read_manifests

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One row: a manifest, maybe a second version of it, and what a refusal must say."""

    name: str
    manifest: Manifest
    then: Manifest | None
    says: tuple[str, ...]


def read_table() -> tuple[list[Case], list[Case]]:
    """Read (good, bad) cases."""
    (table,) = read_manifests((Path(__file__).parent / "cases.yaml").read_text(encoding="utf-8"))
    bases = table["bases"]
    return [_case(row, bases) for row in table["good"]], [_case(row, bases) for row in table["bad"]]


def _case(row: Manifest, bases: dict[str, Manifest]) -> Case:
    manifest = copy.deepcopy(bases[row["base"]])
    for path in row.get("drop", ()):
        parent, last = _parent(manifest, path)
        del parent[last]
    _set(manifest, row.get("set", {}))
    then = None
    if "then" in row:
        then = copy.deepcopy(manifest)
        _set(then, row["then"])
    return Case(row["name"], manifest, then, tuple(row.get("says", ())))


def _set(manifest: Manifest, fields: dict[str, Any]) -> None:
    for path, value in fields.items():
        parent, last = _parent(manifest, path)
        parent[last] = value


def _parent(manifest: Manifest, path: str) -> tuple[Any, Any]:
    *steps, last = (int(step) if step.isdigit() else step for step in path.split("."))
    here: Any = manifest
    for step in steps:
        here = here[step]
    return here, last


GOOD, BAD = read_table()
