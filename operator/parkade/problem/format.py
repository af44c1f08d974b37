"""The placement problem as a replayable file: plain numbers, no Kubernetes; `docs/placement.md` is its reference.

Money is $/h, quantities and yields are in the cover's own unit (requests/s for a rate cover), use and capacity in
the resource's unit. `from_json` checks shapes and types; the solver checks values.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Final, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from parkade.errors import InvalidProblem

_STRICT: Final = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Cover:
    """One want of a demand: sum of yields * replicas + short >= quantity."""

    __pydantic_config__ = _STRICT
    id: str
    quantity: float
    short_cost: float
    """$/h for each unit of the quantity that is not covered."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One workload: all its covers must be met, or paid for as a shortfall."""

    __pydantic_config__ = _STRICT
    id: str
    covers: tuple[Cover, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """`count` units of a supply at `cost` $/h each."""

    __pydantic_config__ = _STRICT
    count: int
    cost: float


@dataclass(frozen=True, slots=True)
class Supply:
    """Equal units on one merit-order curve; units are taken from the cheapest step first."""

    __pydantic_config__ = _STRICT
    id: str
    steps: tuple[Step, ...]
    capacity: Mapping[str, float]
    """Of one unit, by resource."""


@dataclass(frozen=True, slots=True)
class Arc:
    """One way to run a demand on a supply; its variable is a whole number of replicas."""

    __pydantic_config__ = _STRICT
    id: str
    demand: int
    """Index into the problem's demands."""
    supply: int
    """Index into the problem's supplies."""
    yields: tuple[float, ...]
    """What one replica adds to each cover of the demand, in the covers' order."""
    cost: float
    """$/h for one replica, beyond the units it uses."""
    use: Mapping[str, float]
    """What one replica takes of the supply's resources."""
    max: int
    """Most replicas on this arc."""


@dataclass(frozen=True, slots=True)
class Limit:
    """sum of coefficient * replicas <= bound, over arcs of any demand."""

    __pydantic_config__ = _STRICT
    id: str
    bound: float
    terms: tuple[tuple[int, float], ...]
    """(index into the problem's arcs, coefficient)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What the solver is asked: serve every demand at least cost."""

    __pydantic_config__ = _STRICT
    demands: tuple[Demand, ...]
    supplies: tuple[Supply, ...]
    arcs: tuple[Arc, ...]
    limits: tuple[Limit, ...]
    version: Literal[1] = 1

    def to_json(self) -> str:
        """The file's text, one entry a line; equal problems give equal bytes.

        Raises:
            InvalidProblem: a number is NaN or infinite, which JSON cannot carry.
        """
        try:
            sections = ",\n".join(
                f'"{name}": [{_lines(entries)}]'
                for name, entries in (
                    ("demands", self.demands),
                    ("supplies", self.supplies),
                    ("arcs", self.arcs),
                    ("limits", self.limits),
                )
            )
        except ValueError as error:
            raise InvalidProblem(f"the problem has a number that is not finite ({error}); find and mend it") from None
        return f'{{"version": {self.version},\n{sections}}}\n'

    @classmethod
    def from_json(cls, text: str | bytes) -> "Problem":
        """Read a problem file.

        Raises:
            InvalidProblem: the text is not JSON, or an entry is missing, unknown or of a wrong type.
        """
        try:
            return _PROBLEM.validate_json(text)
        except ValidationError as error:
            raise InvalidProblem(_sentence(error.errors(include_url=False)[0])) from None


_PROBLEM: Final = TypeAdapter(Problem)


def _lines(entries: Iterable[Demand | Supply | Arc | Limit]) -> str:
    return ",".join("\n " + json.dumps(_plain(asdict(entry)), allow_nan=False) for entry in entries)


def _plain(fields: dict[str, object]) -> dict[str, object]:
    """Resources in the order of their names, so that equal problems are equal bytes."""
    return {key: dict(sorted(value.items())) if isinstance(value, Mapping) else value for key, value in fields.items()}


def _sentence(error: ErrorDetails) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    kind, message = error["type"], error["msg"]
    match kind:
        case "json_invalid":
            cause = message.removeprefix("Invalid JSON: ")
            return f"the problem file is not JSON: {cause}; write it as docs/placement.md shows"
        case "missing":
            return f"{place} is missing from the problem; docs/placement.md lists the fields of each entry"
        case "unexpected_keyword_argument":
            return f"{place} is not a field of the problem file; remove it or correct its name"
        case "literal_error" if place == "version":
            return "version must be 1, the only version of the problem file"
        case _:
            given = json.dumps(error["input"], default=str)[:60]
            return f"{place or 'the problem'} cannot be {given}: {message[0].lower()}{message[1:]}"
