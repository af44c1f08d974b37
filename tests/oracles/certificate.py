"""Checks the solution of a flat problem at any size, sharing no code with the solver.

The formulas of `docs/placement.md`: rows within their tolerances, the objective, the gap, and the bound recomputed from
the published prices. Rows and costs of the plan are summed in extended precision. The bound is summed in double
precision with an allowance for every rounding: it is a fault to be above D by more, and `proven` to be below D by more.
Exact parts are solved again by a search of its own, the dearest `sample` of them.

    python tests/oracles/certificate.py PROBLEM.npz SOLUTION.npz [--json] [--sample N]
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray
Flat = Mapping[str, Array]

TOLERANCE = 1e-9
COVER_TOLERANCE = 1e-12
STATUSES = ("optimal", "feasible", "work_limit", "time_limit")
SOLUTION = (
    "version", "status", "objective", "bound", "gap", "replicas", "units", "short", "prices.covers", "prices.supplies",
    "prices.limits", "exact.demand", "exact.value", "exact.replicas_offsets", "exact.replicas.arc",
    "exact.replicas.count",
)  # fmt: skip
CHUNK = 500_000
"""Arcs looked at together."""
MOST_NODES = 20_000
"""Of the search for an exact part; a part that needs more stays undecided."""


@dataclass(frozen=True)
class Sum:
    """A sum in double precision: its value, and what every rounding together may have changed."""

    value: float = 0.0
    allowance: float = 0.0

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(self.value + other.value, self.allowance + other.allowance + abs(self.value + other.value) * 2**-52)


class Kept(Mapping[str, Array]):
    """The arrays of a file, each read once; `arcs.yields_offsets` follows from the demands."""

    def __init__(self, file: Flat) -> None:
        self.file, self.arrays = file, dict[str, Array]()

    def __getitem__(self, name: str) -> Array:
        if name not in self.arrays:
            self.arrays[name] = self._offsets() if name == "arcs.yields_offsets" else self.file[name]
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.file)

    def __len__(self) -> int:
        return len(self.file)

    def _offsets(self) -> Array:
        found = np.zeros(len(self["arcs.demand"]) + 1, np.int64)
        np.cumsum(lengths(self["demands.covers_offsets"])[self["arcs.demand"]], out=found[1:])
        return found


def summed(terms: Array, magnitudes: Array, roundings: int) -> Sum:
    """Of `terms`, each the result of `roundings` operations on numbers whose sizes sum up to `magnitudes`.

    numpy adds pairwise in blocks of 128: at most 64 additions for a chunk of any size that fits into memory.
    """
    return Sum(float(terms.sum()), float(magnitudes.sum()) * (roundings + 64) * 2**-53)


def certify(problem: Flat, solution: Flat, sample: int = 200) -> dict[str, Any]:
    """What the plan costs, what the prices prove, and every rule that the solution breaks (`faults`)."""
    problem, solution = Kept(problem), Kept(solution)
    shape = list(shape_faults(problem, solution))
    if shape:
        return {"faults": shape}
    plan, plan_faults = checked_plan(problem, solution)
    prices = list(price_faults(problem, solution))
    report = plan | {"bound": float(solution["bound"]), "gap": float(solution["gap"])}
    if prices:  # without valid prices there is no D
        return report | {"faults": plan_faults + prices}
    reduced, uncertain = reduced_costs(problem, solution)
    dual = dual_bound(problem, solution, reduced, uncertain)
    exact = ExactParts(problem, solution, reduced)
    found = [*plan_faults, *exact.faults(sample)]
    if report["bound"] > dual.value + dual.allowance:
        found.append(f"the bound {report['bound']!r} is above D = {dual.value!r}, beyond its allowance")
    return report | {
        "faults": found,
        "dual": dual.value,
        "allowance": dual.allowance,
        "proven": report["bound"] <= dual.value - dual.allowance,
        "exact": {"parts": exact.count, "checked": exact.checked, "undecided": exact.undecided},
    }


def lengths(offsets: Array) -> Array:
    return np.diff(offsets.astype(np.int64))


def owners(offsets: Array) -> Array:
    """The row of each entry."""
    return np.repeat(np.arange(len(offsets) - 1), lengths(offsets))


def entries(offsets: Array, rows: Array) -> tuple[Array, Array]:
    """(which of `rows`, position) of every entry of these rows."""
    sizes = lengths(offsets)[rows]
    row = np.repeat(np.arange(len(rows)), sizes)
    first = np.cumsum(sizes) - sizes
    return row, np.arange(len(row)) - first[row] + offsets[rows].astype(np.int64)[row]


def shape_faults(problem: Flat, solution: Flat) -> Iterator[str]:
    missing = [name for name in SOLUTION if name not in solution]
    if missing:
        yield f"{missing[0]} is missing from the solution"
        return
    counts = {
        "replicas": len(problem["arcs.demand"]),
        "units": len(problem["supplies.steps_offsets"]) - 1,
        "short": len(problem["demands.covers.quantity"]),
        "prices.covers": len(problem["demands.covers.quantity"]),
        "prices.supplies": len(problem["supplies.capacity.amount"]),
        "prices.limits": len(problem["limits.bound"]),
        "exact.value": len(solution["exact.demand"]),
        "exact.replicas_offsets": len(solution["exact.demand"]) + 1,
    }
    if solution["version"] != 1:
        yield "version is not 1"
    if str(solution["status"]) not in STATUSES:
        yield f"status {solution['status']} is unknown"
    for name, count in counts.items():
        if np.shape(solution[name]) != (count,):
            yield f"{name} has the shape {np.shape(solution[name])}, not ({count},)"
    for name in ("replicas", "units"):
        if np.asarray(solution[name]).dtype.kind not in "iu":
            yield f"{name}: a count is not whole"
    for name in (
        "objective",
        "bound",
        "gap",
        "short",
        "exact.value",
        "prices.covers",
        "prices.supplies",
        "prices.limits",
    ):
        if not np.isfinite(solution[name]).all():
            yield f"{name} has a number that is not finite"


def added(index: Array, terms: Array, count: int) -> Array:
    """Sums of `terms` by `index`, in extended precision where the machine has it."""
    total = np.zeros(count, np.longdouble)
    np.add.at(total, index, terms)
    return total


def checked_plan(problem: Flat, solution: Flat) -> tuple[dict[str, Any], list[str]]:
    """Costs of the plan, and the rows it breaks."""
    replicas, most = solution["replicas"], problem["arcs.max"]
    out_of_range = (replicas < 0) | (replicas > most)
    found = some("arc {} has more replicas than it may, or fewer than none", out_of_range)
    used = np.flatnonzero(replicas)
    count = replicas[used].astype(np.longdouble)
    short = solution["short"].astype(np.longdouble)
    found += cover_faults(problem, used, count, short)
    found += supply_faults(problem, solution, used, count)
    found += limit_faults(problem, replicas)
    arcs = problem["arcs.cost"][used].astype(np.longdouble) * count
    units = units_costs(problem, solution["units"])
    shortfall = problem["demands.covers.short_cost"].astype(np.longdouble) * short
    objective, missed = arcs.sum() + units.sum() + shortfall.sum(), shortfall.sum()
    scale = abs(arcs).sum() + abs(units).sum() + missed
    found += objective_faults(solution, (objective, missed, scale))
    costs = {"objective": objective, "shortfall": missed, "arcs": arcs.sum(), "units": units.sum()}
    return {name: float(cost) for name, cost in costs.items()}, found


def some(sentence: str, wrong: Array) -> list[str]:
    """The sentence for the first three entries that are wrong, and how many more there are."""
    at = np.flatnonzero(wrong)
    rest = [f"... and {len(at) - 3} more like it"] if len(at) > 3 else []
    return [*(sentence.format(index) for index in at[:3]), *rest]


def cover_faults(problem: Flat, used: Array, count: Array, short: Array) -> list[str]:
    row, at = entries(problem["arcs.yields_offsets"], used)
    first = problem["demands.covers_offsets"].astype(np.int64)[problem["arcs.demand"][used]]
    cover = (first - problem["arcs.yields_offsets"][used])[row] + at
    quantity = problem["demands.covers.quantity"].astype(np.longdouble)
    covered = added(cover, problem["arcs.yields"][at].astype(np.longdouble) * count[row], len(quantity))
    return some(
        "cover {} is not met", (short < 0) | (covered + short < quantity * (1 - np.longdouble(COVER_TOLERANCE)))
    )


def supply_faults(problem: Flat, solution: Flat, used: Array, count: Array) -> list[str]:
    units, steps = solution["units"], problem["supplies.steps_offsets"]
    available = np.bincount(owners(steps), problem["supplies.steps.count"], len(units))
    found = some("supply {} does not have so many units", (units < 0) | (units > available))
    row, at = entries(problem["arcs.use_offsets"], used)
    resources = problem["supplies.capacity_offsets"]
    resource = resources.astype(np.int64)[problem["arcs.supply"][used]][row] + problem["arcs.use.resource"][at]
    amount = problem["supplies.capacity.amount"].astype(np.longdouble)
    taken = added(resource, problem["arcs.use.amount"][at].astype(np.longdouble) * count[row], len(amount))
    given = amount * units.astype(np.longdouble)[owners(resources)]
    return found + some("resource {} of the supplies is overused", taken > given * (1 + np.longdouble(TOLERANCE)))


def limit_faults(problem: Flat, replicas: Array) -> list[str]:
    bound = problem["limits.bound"].astype(np.longdouble)
    taken = np.zeros(len(bound), np.longdouble)
    for limit, (arcs, coefficients) in enumerate(terms(problem)):
        taken[limit] = (coefficients.astype(np.longdouble) * replicas[arcs]).sum()
    return some("limit {} is exceeded", taken > bound * (1 + np.longdouble(TOLERANCE)))


def terms(problem: Flat) -> Iterator[tuple[Array, Array]]:
    """(arcs, coefficients) of each limit."""
    offsets = problem["limits.terms_offsets"].tolist()
    arcs, coefficients = problem["limits.terms.arc"], problem["limits.terms.coefficient"]
    for first, end in pairwise(offsets):
        yield arcs[first:end], coefficients[first:end]


def units_costs(problem: Flat, units: Array) -> Array:
    """$/h of the units in use, [K], each supply's from the cheapest step."""
    owner = owners(problem["supplies.steps_offsets"])
    order = np.lexsort((problem["supplies.steps.cost"], owner))
    count, cost = problem["supplies.steps.count"][order].astype(np.int64), problem["supplies.steps.cost"][order]
    before = np.cumsum(count) - count
    first = np.searchsorted(owner, np.arange(len(units)))
    before -= before[np.minimum(first, max(len(before) - 1, 0))][owner] if len(before) else before
    taken = np.clip(units.astype(np.int64)[owner] - before, 0, count)
    return added(owner, cost.astype(np.longdouble) * taken, len(units))


def objective_faults(solution: Flat, sums: tuple[Any, Any, Any]) -> list[str]:
    objective, missed, scale = sums
    published, bound, gap = (np.longdouble(solution[name]) for name in ("objective", "bound", "gap"))
    found = []
    if abs(published - objective) > scale * TOLERANCE:
        found.append(f"the objective is {float(objective)!r}, not {float(published)!r}")
    if bound > objective:
        found.append(f"the bound {float(bound)!r} is above the objective {float(objective)!r}")
    base = max(abs(objective - missed), np.longdouble(TOLERANCE))
    true_gap = (objective - bound) / base
    if abs(gap - true_gap) > (scale * TOLERANCE / base + abs(true_gap) * TOLERANCE) * 10:
        found.append(f"the gap is {float(true_gap)!r}, not {float(gap)!r}")
    allowed = abs(objective - missed) * 1e-6 + missed * COVER_TOLERANCE * 10
    if str(solution["status"]) == "optimal" and objective - bound > allowed * (1 + TOLERANCE):
        found.append(f"called optimal with a gap of {float(true_gap)!r}")
    return found


def price_faults(problem: Flat, solution: Flat) -> Iterator[str]:
    covers = solution["prices.covers"]
    yield from some("the price of cover {} is outside 0 to its short cost",
                    (covers < 0) | (covers > problem["demands.covers.short_cost"]))  # fmt: skip
    yield from some("the price of resource {} is negative", solution["prices.supplies"] < 0)
    yield from some("the price of limit {} is negative", solution["prices.limits"] < 0)


def reduced_costs(problem: Flat, solution: Flat) -> tuple[Array, Array]:
    """$/h of one replica of each arc when units and limits are paid at their prices, and the size of its terms."""
    reduced = problem["arcs.cost"].astype(np.float64)
    size = np.abs(reduced)
    for price, (arcs, coefficients) in zip(solution["prices.limits"], terms(problem), strict=True):
        if price > 0:
            paid = price * coefficients
            np.add.at(reduced, arcs, paid)
            np.add.at(size, arcs, paid)
    offsets, resources = problem["arcs.use_offsets"], problem["supplies.capacity_offsets"].astype(np.int64)
    supply, resource, amount = problem["arcs.supply"], problem["arcs.use.resource"], problem["arcs.use.amount"]
    for first in range(0, len(reduced), CHUNK):
        part = slice(first, min(first + CHUNK, len(reduced)))
        at = slice(int(offsets[part.start]), int(offsets[part.stop]))
        arc = owners(offsets[part.start : part.stop + 1])
        paid = solution["prices.supplies"][resources[supply[part]][arc] + resource[at]] * amount[at]
        used = np.bincount(arc, paid, part.stop - part.start)
        reduced[part] += used
        size[part] += used
    return reduced, size


def dual_bound(problem: Flat, solution: Flat, reduced: Array, size: Array) -> Sum:
    """D at the published prices, with exact parts in place of the linear ones."""
    exact = np.zeros(len(problem["demands.covers_offsets"]) - 1, bool)
    exact[solution["exact.demand"]] = True
    theta, quantity = solution["prices.covers"], problem["demands.covers.quantity"]
    linear = ~exact[owners(problem["demands.covers_offsets"])]
    worth = theta * quantity * linear
    limits = -solution["prices.limits"] * problem["limits.bound"]
    values = solution["exact.value"].astype(np.float64)
    dual = summed(worth, worth, 2) + summed(values, np.abs(values), 1) + summed(limits, np.abs(limits), 2)
    for part in gains(problem, solution, reduced, size, ~exact):
        dual += part
    return dual + rents(problem, solution)


def gains(problem: Flat, solution: Flat, reduced: Array, size: Array, linear: Array) -> Iterator[Sum]:
    """- sum of max * (theta * yields - reduced cost)^+ over the arcs of demands without an exact part."""
    theta, demand = solution["prices.covers"], problem["arcs.demand"]
    offsets, yields, most = problem["arcs.yields_offsets"], problem["arcs.yields"], problem["arcs.max"]
    covers = problem["demands.covers_offsets"].astype(np.int64)
    roundings = int(lengths(covers).max(initial=0)) + len(problem["limits.bound"]) + 20
    for first in range(0, len(demand), CHUNK):
        part = slice(first, min(first + CHUNK, len(demand)))
        arc = owners(offsets[part.start : part.stop + 1])
        position = np.arange(len(arc)) - (offsets[part.start : part.stop] - offsets[part.start])[arc]
        cover = covers[demand[part]][arc] + position
        earned = theta[cover] * yields[offsets[part.start] : offsets[part.stop]]
        worth = np.bincount(arc, earned, part.stop - part.start)
        terms_size = worth + size[part]
        gain = worth - reduced[part]
        # A gain below 0 by more than its own rounding is surely none.
        counted = linear[demand[part]] & (gain > -terms_size * roundings * 2**-53)
        number = most[part][counted].astype(np.float64)
        yield summed(-number * np.maximum(gain[counted], 0.0), number * terms_size[counted], roundings)


def rents(problem: Flat, solution: Flat) -> Sum:
    """- sum of count * (what a unit's resources are worth - what it costs)^+ over the steps."""
    owner = owners(problem["supplies.capacity_offsets"])
    supplies = len(problem["supplies.steps_offsets"]) - 1
    worth = np.bincount(owner, solution["prices.supplies"] * problem["supplies.capacity.amount"], supplies)
    step = owners(problem["supplies.steps_offsets"])
    cost, count = problem["supplies.steps.cost"], problem["supplies.steps.count"].astype(np.float64)
    rent = np.maximum(worth[step] - cost, 0.0)
    near = worth[step] - cost > -(worth[step] + np.abs(cost)) * 1e-12
    roundings = int(lengths(problem["supplies.capacity_offsets"]).max(initial=0)) + 4
    return summed(-count * rent, count * near * (worth[step] + np.abs(cost)), roundings)


class ExactParts:
    """The parts of the bound that are integer minima, solved again."""

    def __init__(self, problem: Flat, solution: Flat, reduced: Array) -> None:
        self.problem, self.solution, self.reduced = problem, solution, reduced
        self.count = len(solution["exact.demand"])
        self.checked = self.undecided = 0

    def faults(self, sample: int) -> Iterator[str]:
        """Parts among the `sample` dearest that a plan of the demand undercuts; one listed twice."""
        demands, values = self.solution["exact.demand"], self.solution["exact.value"]
        if len(np.unique(demands)) < self.count:
            yield "a demand has two exact parts"
        if not self.count:
            return
        order = np.argsort(self.problem["arcs.demand"], kind="stable")
        ranked = self.problem["arcs.demand"][order]
        offsets = self.problem["arcs.yields_offsets"]
        for at in np.argsort(-np.abs(values), kind="stable")[:sample]:
            demand = int(demands[at])
            arcs = order[np.searchsorted(ranked, demand) : np.searchsorted(ranked, demand, side="right")]
            undercut = self._undercut(demand, arcs, offsets, float(values[at]))
            if undercut is None:
                self.undecided += 1
            else:
                self.checked += 1
                if undercut < values[at]:
                    yield f"the exact part of demand {demand} is at most {undercut!r}, below {float(values[at])!r}"

    def _undercut(self, demand: int, arcs: Array, offsets: Array, value: float) -> float | None:
        """The least cost found below `value` beyond rounding, or `value`; None when the search takes too long."""
        problem, covers = self.problem, self.problem["demands.covers_offsets"]
        own = slice(int(covers[demand]), int(covers[demand + 1]))
        width = own.stop - own.start
        yields = problem["arcs.yields"][offsets[arcs][:, None] + np.arange(width)].astype(np.float64)
        cost, most = self.reduced[arcs], problem["arcs.max"][arcs].astype(np.int64)
        quantity, short_cost = problem["demands.covers.quantity"][own], problem["demands.covers.short_cost"][own]
        theta = np.asarray(self.solution["prices.covers"][own], np.float64)
        slack = cost - yields @ theta
        # A plan costs theta * quantity + slack * replicas at least: arcs beyond the budget are in no better one.
        losses = np.minimum(slack, 0.0) * most
        budget = value - float(theta @ quantity) - float(losses.sum())
        useful = np.flatnonzero((most > 0) & (slack <= budget + 1e-9 * (1.0 + abs(budget))))
        order = useful[np.lexsort((useful, slack[useful]))]
        search = Search(cost[order], yields[order], most[order], short_cost, theta)
        return search.least(quantity.astype(np.float64), value)


class Search:
    """Depth first over the arcs of one demand, those that lose least at the cover prices first."""

    def __init__(self, cost: Array, yields: Array, most: Array, short_cost: Array, theta: Array) -> None:
        self.cost, self.yields, self.most = cost.tolist(), yields.tolist(), most.tolist()
        self.short_cost, self.theta = short_cost.tolist(), theta.tolist()
        # What the arcs from each position on may still save below the price of what they cover.
        slack = np.minimum(cost - yields @ theta, 0.0) * most
        self.savings = [*np.cumsum(slack[::-1])[::-1].tolist(), 0.0]
        self.nodes = 0

    def least(self, quantity: Array, value: float) -> float | None:
        """The least cost below `value` by more than 1e-9 of it, else `value`; None after `MOST_NODES` nodes."""
        self.best = value - 1e-9 * max(abs(value), float(np.dot(self.theta, quantity)), 1e-9)
        mark = self.best
        self._branch(0, 0.0, quantity.tolist())
        if self.best < mark:
            return self.best
        return None if self.nodes > MOST_NODES else value

    def _branch(self, position: int, cost: float, left: list[float]) -> None:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            return
        short = cost + sum(price * missing for price, missing in zip(self.short_cost, left, strict=True) if missing > 0)
        self.best = min(self.best, short)
        floor = cost + sum(price * missing for price, missing in zip(self.theta, left, strict=True) if missing > 0)
        if position == len(self.cost) or floor + self.savings[position] >= self.best:
            return
        price, yields, most = self.cost[position], self.yields[position], self.most[position]
        needed = max((math.ceil(x / y) for x, y in zip(left, yields, strict=True) if y > 0 and x > 0), default=0)
        for count in [most] if price < 0 else range(min(most, needed), -1, -1):
            rest = [x - y * count for x, y in zip(left, yields, strict=True)]
            self._branch(position + 1, cost + price * count, rest)


def main() -> int:
    parser = argparse.ArgumentParser(description="Check a solution of a flat problem.")
    parser.add_argument("problem")
    parser.add_argument("solution")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sample", type=int, default=200, help="Exact parts that are solved again.")
    options = parser.parse_args()
    with np.load(options.problem) as problem, np.load(options.solution) as solution:
        report = certify(problem, solution, options.sample)
    print(json.dumps(report) if options.json else rendered(report))  # noqa: T201
    return bool(report["faults"])


def rendered(report: dict[str, Any]) -> str:
    if report["faults"]:
        return "\n".join(report["faults"])
    exact, bound = report["exact"], "holds" if report["proven"] else "is D within rounding"
    return (
        f"the solution is feasible and its bound {bound}: {report['objective']:.6f} $/h, bound {report['bound']:.6f}, "
        f"D {report['dual']:.6f} within {report['allowance']:.2g}, gap {report['gap']:.4%}; "
        f"{exact['checked']} of {exact['parts']} exact parts solved again, {exact['undecided']} undecided"
    )


if __name__ == "__main__":
    sys.exit(main())
