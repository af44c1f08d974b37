"""A rule is written once: one sentence, its CEL for the API server, its predicate for Python.

`tests/api` runs one table of manifests through both, so the two can not drift apart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from parkade.units import DURATION_PATTERN, QUANTITY_PATTERN


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold for an object, whoever writes it."""

    message: str
    """One sentence: what must be so, and how to mend it. The API server puts the field's path before it."""
    cel: str
    """Over `self`; guards every optional field by `has()` and every text by its pattern."""
    holds: Callable[[Any], bool]
    """The same over the parsed object."""
    field: str = ""
    """The field to blame, relative to the object, in the manifest's spelling; default: the object itself."""


Rules = tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Transition:
    """What must hold between an object and the one it replaces."""

    message: str
    cel: str
    """Over `self` and `oldSelf`."""
    holds: Callable[[Any, Any], bool]
    """The same over (new, old)."""
    field: str = ""


def cel_text(text: str) -> str:
    """Quote `text` as a raw CEL string.

    Raises:
        ValueError: the text holds a quote, which a raw string cannot.
    """
    if "'" in text:
        raise ValueError(f"{text!r} holds a quote, which CEL's raw strings cannot; write the pattern without it")
    return f"r'{text}'"


def cel_matches(path: str, pattern: str) -> str:
    """CEL that tests the text at `path` against `pattern`."""
    return f"{path}.matches({cel_text(pattern)})"


def cel_is_duration(*paths: str) -> str:
    """CEL that is true where every text at `paths` can be read by `duration()`."""
    return " && ".join(cel_matches(path, DURATION_PATTERN) for path in paths)


def cel_is_quantity(path: str) -> str:
    """CEL that is true where the text at `path` can be read by `quantity()`."""
    return cel_matches(path, QUANTITY_PATTERN)


def cel_exactly_one(*fields: str) -> str:
    """CEL that is true where exactly one of the optional `fields` is set."""
    return f"[{', '.join(f'has(self.{field})' for field in fields)}].exists_one(given, given)"
