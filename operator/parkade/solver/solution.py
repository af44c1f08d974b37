"""The solution file: a feasible plan and the prices that prove its bound; `docs/placement.md` is its reference."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # pydantic takes a tenth of a second to import, which only readers of solution files need
    from pydantic import TypeAdapter

Status = Literal["optimal", "feasible", "work_limit", "time_limit"]
"""How the solve ended; the plan is feasible in every case. `optimal`: the certified gap is at most 1e-6."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of the problem's rows; with them anyone can recompute the bound."""

    covers: tuple[tuple[float, ...], ...]
    """$/h for one more of each cover's quantity, per demand."""
    supplies: tuple[tuple[float, ...], ...]
    """$/h for one more of each resource (names sorted), per supply."""
    limits: tuple[float, ...]
    """$/h for one more of each limit's bound."""


@dataclass(frozen=True, slots=True)
class ExactPart:
    """A demand whose part of the bound is its exact integer minimum at the prices."""

    demand: int
    value: float
    """$/h."""
    replicas: tuple[tuple[int, int], ...]
    """(arc, replicas) of the minimum."""


@dataclass(frozen=True, slots=True)
class Solution:
    """What to run where, what it costs, and what nothing can undercut."""

    version: Literal[1]
    status: Status
    objective: float
    """$/h, with what the shortfall costs."""
    bound: float
    """$/h."""
    gap: float
    """(objective - bound) / max(|objective - cost of the shortfall|, 1e-9)."""
    replicas: tuple[int, ...]
    """Per arc."""
    units: tuple[int, ...]
    """Per supply."""
    short: tuple[tuple[float, ...], ...]
    """Per cover, per demand, in the cover's own unit."""
    prices: Prices
    exact: tuple[ExactPart, ...]

    def to_json(self) -> str:
        """The file's text, one field a line; equal solutions give equal bytes."""
        return text_of(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Solution":
        """Read a solution file that the kernel or `to_json` wrote."""
        return _reader().validate_json(text)


def text_of(document: Mapping[str, Any]) -> str:
    """A solution as the file has it."""
    lines = (f" {json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in document.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


@cache
def _reader() -> "TypeAdapter[Solution]":
    from pydantic import TypeAdapter  # noqa: PLC0415 -- see above

    return TypeAdapter(Solution)
