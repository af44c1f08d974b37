"""A solution as flat arrays, with the names of the `.npz` file; `solution` has the same as objects."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from parkade.solver.solution import ExactPart, Prices, Solution, Status, text_of

Array = NDArray[Any]

ENTRIES: Final = (
    "replicas", "units", "short", "prices.covers", "prices.supplies", "prices.limits", "exact.demand", "exact.value",
    "exact.replicas_offsets", "exact.replicas.arc", "exact.replicas.count",
)  # fmt: skip
"""Arrays of the file; the attribute of `SolutionArrays` has `_` for `.`."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How the JSON file groups what the arrays have one after the other."""

    covers: Array
    """[W+1], where each demand's covers begin."""
    resources: Array
    """[K+1], where each supply's resources begin."""


@dataclass(frozen=True, slots=True, eq=False)
class SolutionArrays:
    """What to run where, for W demands with C covers, K supplies with R resources, A arcs, L limits, E exact parts."""

    status: Status
    objective: float
    """$/h, with what the shortfall costs."""
    bound: float
    """$/h."""
    gap: float
    """(objective - bound) / max(|objective - cost of the shortfall|, 1e-9)."""
    replicas: Array
    """int [A]"""
    units: Array
    """int [K]"""
    short: Array
    """float [C], in the cover's own unit"""
    prices_covers: Array
    """float [C], $/h for one more of the quantity"""
    prices_supplies: Array
    """float [R], $/h for one more of the resource"""
    prices_limits: Array
    """float [L], $/h for one more of the bound"""
    exact_demand: Array
    """int [E]"""
    exact_value: Array
    """float [E], $/h"""
    exact_replicas_offsets: Array
    """int [E+1]"""
    exact_replicas_arc: Array
    """int [replicas of exact parts], so the next"""
    exact_replicas_count: Array

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "SolutionArrays":
        """Take what the kernel gives, or an opened `.npz` file."""
        arrays: dict[str, Any] = {name.replace(".", "_"): mapping[name] for name in ENTRIES}
        numbers = (float(mapping[name]) for name in ("objective", "bound", "gap"))
        return cls(str(mapping["status"]), *numbers, **arrays)  # type: ignore[arg-type]  # one of the kernel's words

    @classmethod
    def from_json(cls, text: str) -> "SolutionArrays":
        """Take the text that the kernel gives."""
        found = json.loads(text)
        exact, prices = found["exact"], found["prices"]
        replicas = [entry for part in exact for entry in part["replicas"]]
        ends = np.cumsum([0, *(len(part["replicas"]) for part in exact)])
        return cls(
            found["status"],
            found["objective"],
            found["bound"],
            found["gap"],
            replicas=np.array(found["replicas"], np.int64),
            units=np.array(found["units"], np.int64),
            short=_floats(found["short"]),
            prices_covers=_floats(prices["covers"]),
            prices_supplies=_floats(prices["supplies"]),
            prices_limits=np.array(prices["limits"], np.float64),
            exact_demand=np.array([part["demand"] for part in exact], np.int64),
            exact_value=np.array([part["value"] for part in exact], np.float64),
            exact_replicas_offsets=ends,
            exact_replicas_arc=np.array([arc for arc, _ in replicas], np.int64),
            exact_replicas_count=np.array([count for _, count in replicas], np.int64),
        )

    def to_mapping(self) -> dict[str, Array]:
        """The arrays by their names in the file, with `version` and the scalars."""
        scalars = {name: np.array(getattr(self, name)) for name in ("status", "objective", "bound", "gap")}
        arrays = {name: getattr(self, name.replace(".", "_")) for name in ENTRIES}
        return {"version": np.array(1)} | scalars | arrays

    def to_json(self, shape: Shape) -> str:
        """The text of the JSON file."""
        return text_of(self._document(shape))

    def unflatten(self, shape: Shape) -> Solution:
        """The same as objects."""
        found = self._document(shape)
        prices = found["prices"]
        return Solution(
            1, self.status, self.objective, self.bound, self.gap,
            replicas=tuple(found["replicas"]), units=tuple(found["units"]), short=_tuples(found["short"]),
            prices=Prices(_tuples(prices["covers"]), _tuples(prices["supplies"]), tuple(prices["limits"])),
            exact=tuple(
                ExactPart(part["demand"], part["value"], tuple((arc, count) for arc, count in part["replicas"]))
                for part in found["exact"]
            ),
        )  # fmt: skip

    def prices(self, shape: Shape) -> dict[str, Any]:
        """As the JSON file has them."""
        return {
            "covers": _rows(self.prices_covers, shape.covers),
            "supplies": _rows(self.prices_supplies, shape.resources),
            "limits": self.prices_limits.tolist(),
        }

    def _document(self, shape: Shape) -> dict[str, Any]:
        replicas = np.stack(
            [self.exact_replicas_arc, self.exact_replicas_count], axis=1, dtype=np.int64, casting="unsafe"
        )
        parts = zip(self.exact_demand.tolist(), self.exact_value.tolist(), strict=True)
        return {
            "version": 1,
            "status": self.status,
            "objective": self.objective,
            "bound": self.bound,
            "gap": self.gap,
            "replicas": self.replicas.tolist(),
            "units": self.units.tolist(),
            "short": _rows(self.short, shape.covers),
            "prices": self.prices(shape),
            "exact": [
                {"demand": demand, "value": value, "replicas": own}
                for (demand, value), own in zip(parts, _rows(replicas, self.exact_replicas_offsets), strict=True)
            ],
        }


def _floats(rows: list[list[float]]) -> Array:
    return np.array([number for row in rows for number in row], np.float64)


def _rows(values: Array, offsets: Array) -> list[list[Any]]:
    numbers = values.tolist()
    return [numbers[first:end] for first, end in pairwise(offsets.tolist())]


def _tuples(rows: list[list[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in rows)
