"""Checks a solution file against its problem file in exact rational arithmetic, sharing no code with the solver.

It holds the formulas of `docs/placement.md` literally: rows within their tolerances, the objective, the gap, and the
bound recomputed from the published prices, with every exact part solved again by enumeration.

    python tests/oracles/checker.py PROBLEM.json SOLUTION.json
"""

import json
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any

TOLERANCE = Fraction(1, 10**9)
COVER_TOLERANCE = Fraction(1, 10**12)
STATUSES = ("optimal", "feasible", "work_limit", "time_limit")

Json = dict[str, Any]


def faults(problem: Json, solution: Json) -> list[str]:
    """Every way in which the solution breaks a rule; empty when it breaks none."""
    shape = shape_faults(problem, solution)
    if shape:
        return shape
    return [
        *row_faults(problem, solution),
        *objective_faults(problem, solution),
        *price_faults(problem, solution),
        *bound_faults(problem, solution),
    ]


def exact(value: float) -> Fraction:
    return Fraction(value)


def shape_faults(problem: Json, solution: Json) -> list[str]:
    covers = [len(demand["covers"]) for demand in problem["demands"]]
    found = [
        (solution["version"] == 1, "version is not 1"),
        (solution["status"] in STATUSES, f"status {solution['status']} is unknown"),
        (len(solution["replicas"]) == len(problem["arcs"]), "replicas are not one for each arc"),
        (len(solution["units"]) == len(problem["supplies"]), "units are not one for each supply"),
        ([len(row) for row in solution["short"]] == covers, "short is not one for each cover"),
        ([len(row) for row in solution["prices"]["covers"]] == covers, "cover prices are not one for each cover"),
        (
            [len(row) for row in solution["prices"]["supplies"]]
            == [len(supply["capacity"]) for supply in problem["supplies"]],
            "supply prices are not one for each resource",
        ),
        (len(solution["prices"]["limits"]) == len(problem["limits"]), "limit prices are not one for each limit"),
        (all(type(n) is int for n in (*solution["replicas"], *solution["units"])), "a count is not whole"),
    ]
    return [fault for good, fault in found if not good]


def row_faults(problem: Json, solution: Json) -> list[str]:
    counts = zip(problem["arcs"], solution["replicas"], strict=True)
    found = [
        f"arc {index} has {count} replicas of {arc['max']}"
        for index, (arc, count) in enumerate(counts)
        if not 0 <= count <= arc["max"]
    ]
    return [
        *found,
        *cover_faults(problem, solution),
        *supply_faults(problem, solution),
        *limit_faults(problem, solution),
    ]


def total(problem: Json, solution: Json, end: str, index: int, amount: Callable[[Json], float]) -> Fraction:
    """Sum of amount * replicas over the arcs of one demand or of one supply."""
    counts = zip(problem["arcs"], solution["replicas"], strict=True)
    return sum((exact(amount(arc)) * count for arc, count in counts if arc[end] == index), Fraction(0))


def cover_faults(problem: Json, solution: Json) -> list[str]:
    found = []
    for index, demand in enumerate(problem["demands"]):
        for position, cover in enumerate(demand["covers"]):
            covered = total(problem, solution, "demand", index, lambda arc, at=position: arc["yields"][at])
            missing = exact(solution["short"][index][position])
            if missing < 0 or covered + missing < exact(cover["quantity"]) * (1 - COVER_TOLERANCE):
                found.append(f"demand {index} cover {position} is not met")
    return found


def supply_faults(problem: Json, solution: Json) -> list[str]:
    found = []
    for index, (supply, units) in enumerate(zip(problem["supplies"], solution["units"], strict=True)):
        if not 0 <= units <= sum(step["count"] for step in supply["steps"]):
            found.append(f"supply {index} does not have {units} units")
        for resource, capacity in supply["capacity"].items():
            used = total(problem, solution, "supply", index, lambda arc, name=resource: arc["use"].get(name, 0))
            if used > exact(capacity) * units * (1 + TOLERANCE):
                found.append(f"supply {index} gives too little {resource}")
    return found


def limit_faults(problem: Json, solution: Json) -> list[str]:
    found = []
    for index, limit in enumerate(problem["limits"]):
        taken = sum(exact(coefficient) * solution["replicas"][arc] for arc, coefficient in limit["terms"])
        if taken > exact(limit["bound"]) * (1 + TOLERANCE):
            found.append(f"limit {index} is exceeded")
    return found


def merit_order(supply: Json) -> list[tuple[int, Fraction]]:
    steps = sorted(supply["steps"], key=lambda step: step["cost"])
    return [(step["count"], exact(step["cost"])) for step in steps]


def units_cost(supply: Json, units: int) -> Fraction:
    cost, left = Fraction(0), units
    for count, price in merit_order(supply):
        taken = min(count, left)
        cost, left = cost + taken * price, left - taken
    return cost


def shortfall_cost(problem: Json, solution: Json) -> Fraction:
    return sum(
        (
            exact(cover["short_cost"]) * exact(missing)
            for demand, row in zip(problem["demands"], solution["short"], strict=True)
            for cover, missing in zip(demand["covers"], row, strict=True)
        ),
        Fraction(0),
    )


def objective_faults(problem: Json, solution: Json) -> list[str]:
    arcs = [exact(a["cost"]) * n for a, n in zip(problem["arcs"], solution["replicas"], strict=True)]
    units = [units_cost(s, u) for s, u in zip(problem["supplies"], solution["units"], strict=True)]
    short = shortfall_cost(problem, solution)
    cost = sum(arcs, Fraction(0)) + sum(units, Fraction(0)) + short
    scale = sum(map(abs, (*arcs, *units)), short)
    found = []
    if abs(exact(solution["objective"]) - cost) > scale * TOLERANCE:
        found.append(f"the objective is {float(cost)}, not {solution['objective']}")
    if exact(solution["bound"]) > cost:
        found.append(f"the bound {solution['bound']} is above the objective {float(cost)}")
    gap = (cost - exact(solution["bound"])) / max(abs(cost - short), TOLERANCE)
    # The published gap comes from rounded numbers: it may be off by what their rounding makes of it.
    slack = scale * TOLERANCE / max(abs(cost - short), TOLERANCE) + abs(gap) * TOLERANCE
    if abs(exact(solution["gap"]) - gap) > slack * 10:
        found.append(f"the gap is {float(gap)}, not {solution['gap']}")
    allowed = abs(cost - short) / 10**6 + short * COVER_TOLERANCE * 10
    if solution["status"] == "optimal" and cost - exact(solution["bound"]) > allowed * (1 + TOLERANCE):
        found.append(f"called optimal with a gap of {float(gap)}")
    return found


def price_faults(problem: Json, solution: Json) -> list[str]:
    prices = solution["prices"]
    found = []
    for demand, row in zip(problem["demands"], prices["covers"], strict=True):
        for cover, theta in zip(demand["covers"], row, strict=True):
            if not 0 <= theta <= cover["short_cost"]:
                found.append(f"cover price {theta} is outside 0 to {cover['short_cost']}")
    if any(price < 0 for row in (*prices["supplies"], prices["limits"]) for price in row):
        found.append("a price of a supply or a limit is negative")
    return found


def bound_faults(problem: Json, solution: Json) -> list[str]:
    reduced = reduced_costs(problem, solution["prices"])
    values = {part["demand"]: exact(part["value"]) for part in solution["exact"]}
    found = []
    dual = -shared_part(problem, solution["prices"])
    for index in range(len(problem["demands"])):
        linear = linear_part(problem, solution["prices"], reduced, index)
        dual += values.get(index, linear)
        if index in values:
            least = integer_part(problem, reduced, index)
            if values[index] > least:
                found.append(f"demand {index}'s exact part is {float(least)}, below {float(values[index])}")
    if exact(solution["bound"]) > dual:
        found.append(f"the bound {solution['bound']} is above D = {float(dual)}")
    return found


def reduced_costs(problem: Json, prices: Json) -> list[Fraction]:
    """$/h of one replica of each arc when units and limits are paid at their prices."""
    reduced = []
    for arc in problem["arcs"]:
        names = sorted(problem["supplies"][arc["supply"]]["capacity"])
        by_name = dict(zip(names, prices["supplies"][arc["supply"]], strict=True))
        used = sum(exact(by_name[name]) * exact(amount) for name, amount in arc["use"].items())
        reduced.append(exact(arc["cost"]) + used)
    for limit, price in zip(problem["limits"], prices["limits"], strict=True):
        for arc, coefficient in limit["terms"]:
            reduced[arc] += exact(price) * exact(coefficient)
    return reduced


def shared_part(problem: Json, prices: Json) -> Fraction:
    shared = Fraction(0)
    for limit, price in zip(problem["limits"], prices["limits"], strict=True):
        shared += exact(price) * exact(limit["bound"])
    for supply, row in zip(problem["supplies"], prices["supplies"], strict=True):
        names = sorted(supply["capacity"])
        worth = sum(exact(p) * exact(supply["capacity"][name]) for p, name in zip(row, names, strict=True))
        shared += sum(count * max(Fraction(0), worth - cost) for count, cost in merit_order(supply))
    return shared


def linear_part(problem: Json, prices: Json, reduced: list[Fraction], demand: int) -> Fraction:
    theta = [exact(price) for price in prices["covers"][demand]]
    covers = problem["demands"][demand]["covers"]
    part = sum((t * exact(cover["quantity"]) for t, cover in zip(theta, covers, strict=True)), Fraction(0))
    for arc, cost in zip(problem["arcs"], reduced, strict=True):
        if arc["demand"] == demand:
            worth = sum(t * exact(y) for t, y in zip(theta, arc["yields"], strict=True))
            part -= arc["max"] * max(Fraction(0), worth - cost)
    return part


def integer_part(problem: Json, reduced: list[Fraction], demand: int) -> Fraction:
    """The demand's least cost over whole replicas, by enumeration of everything that could undercut the best."""
    covers = problem["demands"][demand]["covers"]
    short_costs = [exact(cover["short_cost"]) for cover in covers]
    arcs = [
        (cost, [exact(y) for y in arc["yields"]], arc["max"])
        for arc, cost in zip(problem["arcs"], reduced, strict=True)
        if arc["demand"] == demand and arc["max"] > 0
    ]
    # What the arcs from each position on could yield at most for a dollar caps what they could still save.
    earning = [min(Fraction(0), cost) * most for cost, _, most in arcs]
    earnings = [*reversed([*accumulate(reversed(earning))]), Fraction(0)]
    best: list[Fraction] = [sum((exact(c["short_cost"]) * exact(c["quantity"]) for c in covers), Fraction(0))]

    def shortfall(left: list[Fraction]) -> Fraction:
        return sum((s * max(Fraction(0), x) for s, x in zip(short_costs, left, strict=True)), Fraction(0))

    def least_to_come(position: int, left: list[Fraction]) -> Fraction:
        """The dearest single cover, met at the best rate that any later arc has for it."""
        dearest = Fraction(0)
        for index, (missing, short_cost) in enumerate(zip(left, short_costs, strict=True)):
            if missing > 0:
                rates = [max(Fraction(0), c) / y[index] for c, y, _ in arcs[position:] if y[index] > 0]
                dearest = max(dearest, missing * min([short_cost, *rates]))
        return dearest + earnings[position]

    def branch(position: int, cost: Fraction, left: list[Fraction]) -> None:
        best[0] = min(best[0], cost + shortfall(left))
        if position == len(arcs) or cost + least_to_come(position, left) >= best[0]:
            return
        price, yields, most = arcs[position]
        needed = max([-(-x // y) for x, y in zip(left, yields, strict=True) if y > 0 and x > 0], default=0)
        for count in [most] if price < 0 else range(min(most, int(needed)), -1, -1):
            rest = [x - y * count for x, y in zip(left, yields, strict=True)]
            branch(position + 1, cost + price * count, rest)

    branch(0, Fraction(0), [exact(cover["quantity"]) for cover in covers])
    return best[0]


def main() -> int:
    problem, solution = (json.loads(Path(name).read_text()) for name in sys.argv[1:3])
    found = faults(problem, solution)
    print("\n".join(found) or "the solution is feasible and its bound holds")  # noqa: T201
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
