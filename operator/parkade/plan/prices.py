"""What a recorded solution says of one demand: the price of each place, what binds, and what would change it.

All of it follows from the problem and the solution, as two files hold them. The solution's prices are those that prove
its bound: theta of a want is what one more of it costs, pi of a resource and mu of a limit what one more of it saves.
At such prices a replica is worth what it costs where more or fewer of them would do, except for what whole numbers
leave over.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from parkade.errors import InvalidProblem
from parkade.problem.arrays import ProblemArrays
from parkade.solver import Solution

Numbers = NDArray[Any]

TINY: Final = 1e-6
"""$/h; a smaller price binds nothing."""


@dataclass(frozen=True, slots=True)
class WantPrice:
    """One cover of the demand."""

    id: str
    quantity: float
    """In the cover's own unit."""
    short: float
    short_cost: float
    """$/h for each unit that is missing."""
    price: float
    """$/h for one more."""


@dataclass(frozen=True, slots=True)
class PlacePrice:
    """One supply that the demand may use, by the arc that it does or would use."""

    place: str
    replicas: int
    own: float
    """$/h of one replica beyond units: energy, bytes, moving."""
    units: float
    """$/h of the cars or servers that one replica takes, at the price of a unit."""
    limits: float
    """$/h of what one replica takes of limits."""
    worth: float
    """$/h that one replica adds to the wants, at their prices."""
    share: float
    """Of a unit, that one replica takes."""
    used: int
    """Units in use, by all demands."""
    offered: int
    """Units that there are."""
    rent: float
    """$/h by which a unit is worth more than it costs, at the prices of its resources."""

    @property
    def cost(self) -> float:
        """$/h of one replica."""
        return self.own + self.units + self.limits

    @property
    def scarcity(self) -> float:
        """$/h that one more unit would save beyond its own cost; 0 where some are free.

        What a full place is worth shows in the price of its units, or in replicas that are worth more than they cost.
        """
        if self.used < self.offered or self.share <= 0.0:
            return 0.0
        return self.rent + max(0.0, self.worth - self.cost) / self.share

    @property
    def relative(self) -> float:
        """Cost for its worth."""
        return self.cost / self.worth if self.worth > TINY else math.inf


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit that binds the demand."""

    id: str
    bound: float
    price: float
    """$/h that one more would save."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the replicas of one demand are where they are."""

    demand: str
    wants: tuple[WantPrice, ...]
    places: tuple[PlacePrice, ...]
    """Used ones first, then by their cost for their worth."""
    limits: tuple[Bound, ...]

    @property
    def chosen(self) -> PlacePrice | None:
        """The place that adds most to the wants."""
        return max((it for it in self.places if it.replicas), key=lambda it: it.replicas * it.worth, default=None)

    @property
    def rejected(self) -> PlacePrice | None:
        """The best place that is not used, for its cost per worth."""
        return next((it for it in self.places if not it.replicas), None)

    @property
    def margins(self) -> tuple[float, float] | None:
        """$/h for one unit: how much dearer the chosen, or how much cheaper the rejected place breaks even.

        Replicas replace each other by what they add to the wants: even is where cost / worth is equal.
        """
        one, other = self.chosen, self.rejected
        if one is None or other is None or min(one.worth, other.worth, one.share, other.share) <= TINY:
            return None
        same = self.for_the_same(other)
        return (same - one.cost) / one.share, (same - one.cost) * other.worth / one.worth / other.share

    def for_the_same(self, place: PlacePrice) -> float:
        """$/h for as much as one replica at the chosen place adds to the wants."""
        return place.relative * self.chosen.worth if self.chosen else math.inf


def solution_arrays(solution: Solution) -> dict[str, Numbers]:
    """A solution with the names and shapes of an `.npz` solution."""
    prices = solution.prices
    return {
        "replicas": np.array(solution.replicas),
        "units": np.array(solution.units),
        "short": np.array([*chain(*solution.short)]),
        "prices.covers": np.array([*chain(*prices.covers)]),
        "prices.supplies": np.array([*chain(*prices.supplies)]),
        "prices.limits": np.array(prices.limits),
    }


def explain(problem: ProblemArrays, solution: Mapping[str, Numbers], demand: str) -> Explanation:
    """Explain one demand, by its id.

    Raises:
        InvalidProblem: no demand has the id, or the solution is of another problem.
    """
    names = _names(problem.demands_id, len(problem.demands_covers_offsets) - 1)
    if demand not in names:
        raise InvalidProblem(f"no demand of the problem is named {demand}; it has {_some(names)}")
    _check(problem, solution)
    index = names.index(demand)
    arcs = np.flatnonzero(problem.arcs_demand == index)
    limits = _limit_prices(problem, solution, arcs)
    by_place: dict[int, list[PlacePrice]] = {}
    for arc in arcs.tolist():
        by_place.setdefault(int(problem.arcs_supply[arc]), []).append(_place(problem, solution, arc, limits[1]))
    places = [_one(found) for found in by_place.values()]
    places.sort(key=lambda it: (not it.replicas, it.relative, it.place))
    return Explanation(demand, _wants(problem, solution, index), tuple(places), limits[0])


def _names(ids: Numbers | None, count: int) -> list[str]:
    return [str(at) for at in range(count)] if ids is None else ids.tolist()


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "none"


def _check(problem: ProblemArrays, solution: Mapping[str, Numbers]) -> None:
    for name, like in (
        ("replicas", problem.arcs_demand),
        ("units", problem.supplies_steps_offsets[1:]),
        ("short", problem.demands_covers_quantity),
        ("prices.covers", problem.demands_covers_quantity),
        ("prices.supplies", problem.supplies_capacity_name),
        ("prices.limits", problem.limits_bound),
    ):
        if name not in solution:
            raise InvalidProblem(f"{name} is missing from the solution; write it by parkade solve -o")
        if len(solution[name]) != len(like):
            numbers = f"{len(solution[name])} numbers where the problem asks for {len(like)}"
            raise InvalidProblem(f"{name} of the solution has {numbers}; name the solution of this problem")


def _wants(problem: ProblemArrays, solution: Mapping[str, Numbers], demand: int) -> tuple[WantPrice, ...]:
    first, end = problem.demands_covers_offsets[demand : demand + 2].tolist()
    ids = problem.demands_covers_id
    return tuple(
        WantPrice(
            str(at - first) if ids is None else str(ids[at]),
            float(problem.demands_covers_quantity[at]),
            float(solution["short"][at]),
            float(problem.demands_covers_short_cost[at]),
            float(solution["prices.covers"][at]),
        )
        for at in range(first, end)
    )


def _place(
    problem: ProblemArrays, solution: Mapping[str, Numbers], arc: int, limits: Mapping[int, float]
) -> PlacePrice:
    """One arc. At a place that nobody uses a replica pays its largest share of a unit: it would be alone there."""
    supply, demand = int(problem.arcs_supply[arc]), int(problem.arcs_demand[arc])
    first, end = problem.supplies_capacity_offsets[supply : supply + 2].tolist()
    capacity = problem.supplies_capacity_amount[first:end].astype(np.float64)
    prices = solution["prices.supplies"][first:end]
    use = np.zeros(end - first)
    uses = slice(*problem.arcs_use_offsets[arc : arc + 2].tolist())
    use[problem.arcs_use_resource[uses]] = problem.arcs_use_amount[uses]
    share = float(np.max(use / np.maximum(capacity, 1e-300), initial=0.0))
    unit = float(prices @ capacity)
    used = int(solution["units"][supply])
    step, offered = _next_step(problem, supply, used)
    yields = problem.arcs_yields[slice(*problem.yields_offsets[arc : arc + 2].tolist())].astype(np.float64)
    covers = slice(*problem.demands_covers_offsets[demand : demand + 2].tolist())
    return PlacePrice(
        place=_names(problem.supplies_id, len(problem.supplies_steps_offsets) - 1)[supply],
        replicas=int(solution["replicas"][arc]),
        own=float(problem.arcs_cost[arc]),
        units=share * step if used == 0 else float(prices @ use),
        limits=limits.get(arc, 0.0),
        worth=float(solution["prices.covers"][covers] @ yields),
        share=share,
        used=used,
        offered=offered,
        rent=max(0.0, unit - step),
    )


def _next_step(problem: ProblemArrays, supply: int, used: int) -> tuple[float, int]:
    """$/h of the next unit, or of the last where none is left; and how many units there are."""
    steps = slice(*problem.supplies_steps_offsets[supply : supply + 2].tolist())
    costs, counts = problem.supplies_steps_cost[steps], problem.supplies_steps_count[steps].astype(np.int64)
    order = np.argsort(costs, kind="stable")
    upto = np.cumsum(counts[order])
    if not upto.size or upto[-1] == 0:
        return 0.0, 0
    at = int(np.searchsorted(upto, min(used, int(upto[-1]) - 1), side="right"))
    return float(costs[order][at]), int(upto[-1])


def _one(arcs: list[PlacePrice]) -> PlacePrice:
    """The arc that speaks for its place: the dearest for its worth that is used, else the cheapest."""
    used = [it for it in arcs if it.replicas]
    best = max(used, key=lambda it: it.relative) if used else min(arcs, key=lambda it: it.relative)
    return replace(best, replicas=sum(it.replicas for it in arcs))


def _limit_prices(
    problem: ProblemArrays, solution: Mapping[str, Numbers], arcs: Numbers
) -> tuple[tuple[Bound, ...], dict[int, float]]:
    """Limits that bind some of the arcs, and what each arc pays for them, $/h of one replica."""
    terms = np.flatnonzero(np.isin(problem.limits_terms_arc, arcs))
    limit = np.searchsorted(problem.limits_terms_offsets, terms, side="right") - 1
    prices = solution["prices.limits"]
    paid: dict[int, float] = {}
    for term, row in zip(terms.tolist(), limit.tolist(), strict=True):
        arc = int(problem.limits_terms_arc[term])
        paid[arc] = paid.get(arc, 0.0) + float(prices[row] * problem.limits_terms_coefficient[term])
    names = _names(problem.limits_id, len(problem.limits_bound))
    bound = (Bound(names[at], float(problem.limits_bound[at]), float(prices[at])) for at in np.unique(limit).tolist())
    return tuple(it for it in bound if it.price > TINY), paid
