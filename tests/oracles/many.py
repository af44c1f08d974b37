"""Many random small problems: feasible and certified by the exact checker, and bound <= HiGHS's optimum <= objective.

    PYTHONPATH=tests python -m oracles.many --count 10000 [--first SEED] [--work-limit N] [--json]

Three kinds take turns: tiny ones with all that the format has (several covers, kept and new arcs, two resources,
limits, negative costs, zeros), ones in which demands compete, and the smallest that `parkade generate-problem` makes,
with limits, from ample supplies to scarce ones. Each is solved by the kernel alone, cold; every other one then again
from where the last problem of equal shape ended, with other quantities.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np

from oracles.checker import faults
from oracles.highs import bracket
from parkade.problem.arrays import ProblemArrays
from parkade.problem.flattening import flatten, unflatten
from parkade.problem.format import Problem
from parkade.simulate.problems import Sizes, generate
from parkade.solver.prepared import Prepared
from parkade.solver.solve import Terms, prove
from strategies import contended, random_problem

SLACK = 1e-8
"""Of the optimum, 1 $/h at least: HiGHS holds its rows only within 1e-9."""
SECONDS = 5.0
"""For HiGHS, each problem; what it has not proven by then counts as undecided, and is still compared with its plan."""
LEAST = 0.01
"""$/h; distances are shares of the optimum, or of this where it is nearer to 0."""


@dataclass(frozen=True)
class Case:
    """One solved problem; $/h."""

    kind: str
    seed: int
    objective: float
    bound: float
    lowest: float
    """What HiGHS proves: the optimum, unless it ran out of time."""
    optimum: float
    """Of HiGHS's best plan."""
    faults: list[str]

    @property
    def wrong(self) -> list[str]:
        """What breaks the rules."""
        found, slack = list(self.faults), SLACK * max(1.0, abs(self.optimum))
        if self.bound > self.optimum + slack:
            found.append(f"the bound {self.bound!r} is above the optimum {self.optimum!r}")
        if self.objective < self.lowest - slack:
            found.append(f"the objective {self.objective!r} is below the optimum {self.lowest!r}")
        return found


def generated(seed: int) -> Problem:
    """A few workloads on a few supplies, as a fleet would have them."""
    random = Random(seed)  # noqa: S311 -- a repeatable problem, not a secret
    sizes = Sizes(
        random.randint(1, 4), 800, random.randint(2, 12), 35, seed, limits=True,
        demand_scale=random.choice((0.05, 0.2, 0.5, 1.0, 2.0, 2.9)),
    )  # fmt: skip
    return unflatten(generate(sizes))


KINDS = {"tiny": lambda seed: random_problem(Random(seed)), "contended": contended, "generated": generated}  # noqa: S311


def solved(count: int, first: int, work_limit: int) -> Iterator[Case]:
    """Every problem solved and compared."""
    names = list(KINDS)
    for seed in range(first, first + count):
        kind = names[seed % len(names)]
        problem = KINDS[kind](seed)
        arrays = flatten(problem)
        terms = Terms(work_limit, exact=False)
        state = None
        if seed // len(names) % 2:
            state = prove(Prepared.of(scaled(arrays, seed)), terms).state
            kind += ", warm"
        prepared = Prepared.of(arrays)
        solution = prove(prepared, terms, state).solution
        file = json.loads(problem.to_json())
        wrong = faults(file, json.loads(solution.to_json(prepared.shape)))
        yield Case(kind, seed, solution.objective, solution.bound, *bracket(file, SECONDS), wrong)


def scaled(problem: ProblemArrays, seed: int) -> ProblemArrays:
    """The same demands, each wanting more or less."""
    factors = np.random.default_rng(seed).uniform(0.5, 1.5, len(problem.demands_covers_quantity))
    return replace(problem, demands_covers_quantity=problem.demands_covers_quantity * factors)


def summary(cases: list[Case]) -> dict[str, Any]:
    """Figures of one kind; distances from the optimum, as a share of it."""
    best = np.array([case.optimum for case in cases])
    size = np.maximum(LEAST, np.abs(best))
    above = (np.array([case.objective for case in cases]) - best) / size
    below = (best - np.array([case.bound for case in cases])) / size
    names = ("median", "p90", "worst")
    return {
        "problems": len(cases),
        "undecided": sum(case.lowest < case.optimum for case in cases),
        "wrong": sum(bool(case.wrong) for case in cases),
        "objectiveAbove": dict(zip(names, np.quantile(above, (0.5, 0.9, 1.0)).tolist(), strict=True)),
        "boundBelow": dict(zip(names, np.quantile(below, (0.5, 0.9, 1.0)).tolist(), strict=True)),
        "boundHighest": -float(below.min()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the kernel with HiGHS on many small problems.")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="Seed of the first problem.")
    parser.add_argument("--work-limit", type=int, default=100_000, help="Arc evaluations of each solve.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    kinds: dict[str, list[Case]] = defaultdict(list)
    for case in solved(options.count, options.first, options.work_limit):
        kinds[case.kind].append(case)
        for fault in case.wrong:
            print(f"{case.kind}, seed {case.seed}: {fault}", file=sys.stderr)  # noqa: T201
    found = {kind: summary(cases) for kind, cases in kinds.items()}
    print(json.dumps(found) if options.json else "\n".join(f"{kind}: {row}" for kind, row in found.items()))  # noqa: T201
    return any(row["wrong"] for row in found.values())


if __name__ == "__main__":
    sys.exit(main())
