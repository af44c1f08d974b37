"""Generalised assignment: this solver, HiGHS and OR-Tools CP-SAT on instances of the OR-Library format.

    PYTHONPATH=tests python -m benchmarks.assignment FILE... [--best-known CSV] [--limit S] [--json OUT]

A file holds the numbers of agents and items, the cost of each item by agent, what it takes of each agent, and what the
agents hold. As a placement problem an item is a demand and an agent a supply of one unit that costs nothing. Every
solve has a process of its own; its plan is checked against the file's own numbers.
"""

import csv
import gzip
import json
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

THREADS = 2
NO_WORK_LIMIT = 2**63
UNSERVED = 1e6
"""Far more than any item costs."""


@dataclass(frozen=True)
class Assignment:
    """An instance."""

    cost: Integers
    """[items, agents]"""
    amount: Integers
    """[items, agents]: what the item takes of the agent."""
    capacity: Integers
    """[agents]"""


def read(path: Path) -> Assignment:
    """Parse a file, compressed or not."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    agents, items, *numbers = map(int, text.split())
    table, size = np.array(numbers, np.int64), agents * items
    cost, amount = (table[at : at + size].reshape(agents, items).T for at in (0, size))
    return Assignment(np.ascontiguousarray(cost), np.ascontiguousarray(amount), table[2 * size : 2 * size + agents])


def generated(items: int, agents: int, seed: int) -> Assignment:
    """Type E of the literature: what costs little takes much (M. Yagiura et al., 2004)."""
    draws = np.random.default_rng(seed)
    amount = np.floor(1 - 10 * np.log(1 - draws.random((items, agents)))).astype(np.int64)
    cost = np.floor(1000 / amount - 10 * draws.random((items, agents))).astype(np.int64)
    return Assignment(cost, amount, 8 * amount.sum(0) // (10 * agents))


def arrays(instance: Assignment) -> dict[str, NDArray[Any]]:
    """The placement problem, as an `.npz` file has it."""
    items, agents = instance.cost.shape
    arcs = items * agents
    return {
        "version": np.array(1),
        "demands.covers_offsets": np.arange(items + 1),
        "demands.covers.quantity": np.ones(items),
        "demands.covers.short_cost": np.full(items, UNSERVED),
        "supplies.steps_offsets": np.arange(agents + 1),
        "supplies.steps.count": np.ones(agents, np.int64),
        "supplies.steps.cost": np.zeros(agents),
        "supplies.capacity_offsets": np.arange(agents + 1),
        "supplies.capacity.name": np.full(agents, "r"),
        "supplies.capacity.amount": instance.capacity.astype(np.float64),
        "arcs.demand": np.repeat(np.arange(items), agents),
        "arcs.supply": np.tile(np.arange(agents), items),
        "arcs.cost": instance.cost.ravel().astype(np.float64),
        "arcs.max": np.ones(arcs, np.int64),
        "arcs.yields": np.ones(arcs),
        "arcs.use_offsets": np.arange(arcs + 1),
        "arcs.use.resource": np.zeros(arcs, np.int64),
        "arcs.use.amount": instance.amount.ravel().astype(np.float64),
        "limits.bound": np.zeros(0),
        "limits.terms_offsets": np.zeros(1, np.int64),
        "limits.terms.arc": np.zeros(0, np.int64),
        "limits.terms.coefficient": np.zeros(0),
    }


def ours(instance: Assignment, limit: float, work: int = NO_WORK_LIMIT) -> tuple[Floats, float]:
    """The kernel alone; [items, agents] replicas, and the certified bound."""
    from parkade.solver import _kernel  # noqa: PLC0415  # it brings HiGHS, which OR-Tools has a copy of

    found, _ = _kernel.Problem.from_arrays(arrays(instance)).solve_arrays(work, limit, THREADS)
    return np.asarray(found["replicas"], np.float64).reshape(instance.cost.shape), float(str(found["bound"]))


def highs(instance: Assignment, limit: float) -> tuple[Floats | None, float]:
    """Branch and bound by HiGHS."""
    import highspy  # noqa: PLC0415  # as above

    items, agents = instance.cost.shape
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = items * agents, items + agents
    model.col_cost_ = instance.cost.ravel().astype(np.float64)
    model.col_lower_, model.col_upper_ = np.zeros(items * agents), np.ones(items * agents)
    model.row_lower_ = np.concatenate([np.ones(items), np.full(agents, -highspy.kHighsInf)])
    model.row_upper_ = np.concatenate([np.ones(items), instance.capacity]).astype(np.float64)
    rows = np.stack([np.repeat(np.arange(items), agents), items + np.tile(np.arange(agents), items)], 1)
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.arange(0, 2 * items * agents + 1, 2)
    model.a_matrix_.index_ = rows.ravel()
    model.a_matrix_.value_ = np.stack([np.ones(items * agents), instance.amount.ravel()], 1).ravel()
    model.integrality_ = [highspy.HighsVarType.kInteger] * (items * agents)
    solver = highspy.Highs()  # type: ignore[no-untyped-call]  # highspy is not typed here
    for option, value in (("output_flag", False), ("threads", THREADS), ("time_limit", limit), ("mip_rel_gap", 0.0)):
        solver.setOptionValue(option, value)
    solver.passModel(model)
    solver.run()
    info = solver.getInfo()
    found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    values = np.rint(solver.getSolution().col_value).reshape(items, agents) if found else None
    return values, info.mip_dual_bound


def cpsat(instance: Assignment, limit: float) -> tuple[Floats | None, float]:
    """OR-Tools CP-SAT."""
    from ortools.sat.python import cp_model  # noqa: PLC0415  # as above

    model = cp_model.CpModel()
    items, agents = instance.cost.shape
    chosen = [[model.new_bool_var("") for _ in range(agents)] for _ in range(items)]
    for row in chosen:
        model.add_exactly_one(row)
    for agent, capacity in enumerate(instance.capacity):
        column = [row[agent] for row in chosen]
        model.add(cp_model.LinearExpr.weighted_sum(column, instance.amount[:, agent].tolist()) <= int(capacity))
    everything = [variable for row in chosen for variable in row]
    model.minimize(cp_model.LinearExpr.weighted_sum(everything, instance.cost.ravel().tolist()))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = limit
    solver.parameters.num_workers = THREADS
    found = solver.solve(model) in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    values = np.array([[solver.value(variable) for variable in row] for row in chosen], float) if found else None
    return values, solver.best_objective_bound


METHODS: Mapping[str, Callable[[Assignment, float], tuple[Floats | None, float]]] = {
    "ours": ours,
    "highs-mip": highs,
    "cp-sat": cpsat,
}


def objective(instance: Assignment, values: Floats | None) -> float | None:
    """What a plan costs; None where it is none, or leaves an item out, or overloads an agent."""
    if values is None or not np.isin(values, (0, 1)).all():
        return None
    serves_all = (values.sum(1) == 1).all()
    fits = ((values * instance.amount).sum(0) <= instance.capacity).all()
    return float((values * instance.cost).sum()) if serves_all and fits else None


def measure(path: Path, method: str, limit: float) -> dict[str, object]:
    """One solve; runs in a process of its own, because HiGHS and OR-Tools cannot share one."""
    instance = read(path)
    started = time.perf_counter()
    try:
        values, bound = METHODS[method](instance, limit)
    except ImportError as error:
        return {"method": method, "note": f"not installed: {error.name}"}
    seconds = time.perf_counter() - started
    return {
        "method": method,
        "objective": objective(instance, values),
        "bound": bound if math.isfinite(bound) else None,
        "seconds": round(seconds, 2),
    }


def best_known(path: Path | None) -> dict[str, float]:
    """The best known values of a table with the columns `instance` and `best_known_value`."""
    if path is None:
        return {}
    with path.open() as file:
        return {row["instance"]: float(row["best_known_value"]) for row in csv.DictReader(file)}


def distances(runs: list[dict[str, Any]]) -> dict[str, object]:
    """Mean and worst distance to the best known value, and how many plans were none."""
    far = [run["distance"] for run in runs if run.get("distance") is not None]
    none = sum(run.get("objective") is None for run in runs)
    return {"mean": float(np.mean(far)) if far else None, "worst": max(far, default=None), "withoutPlan": none}


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--best-known", "table", type=click.Path(path_type=Path, exists=True), help="CSV of best known values.")
@click.option("--limit", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds of each solve.")
@click.option("--methods", default=" ".join(METHODS), show_default=True, help="Separated by blanks.")
@click.option("--json", "output", type=click.Path(path_type=Path), help="Write the figures here.")
def main(files: tuple[Path, ...], table: Path | None, limit: float, methods: str, output: Path | None) -> None:
    """Compare the methods on assignment instances."""
    known, runs = best_known(table), []
    for path in files:
        name = path.name.split(".")[0]
        for method in methods.split():
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                run = process.submit(measure, path, method, limit).result()
            found, best = run.get("objective"), known.get(name)
            run |= {"instance": name, "bestKnown": best}
            run["distance"] = float(str(found)) / best - 1 if found is not None and best else None
            click.echo(json.dumps(run))
            runs.append(run)
    means = {method: distances([run for run in runs if run["method"] == method]) for method in methods.split()}
    click.echo(json.dumps(means))
    if output is not None:
        output.write_text(json.dumps({"limitSeconds": limit, "threads": THREADS, "methods": means, "runs": runs}))


if __name__ == "__main__":
    main()
