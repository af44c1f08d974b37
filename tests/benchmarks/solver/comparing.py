"""All methods on one instance: each is run, its plan is priced, and it is run again after the demands changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.solver.answers import Task
from benchmarks.solver.catalogue import METHODS, Method
from benchmarks.solver.evaluation import Cost, cost_of, started
from benchmarks.solver.measuring import Run, run
from parkade.problem.arrays import ProblemArrays


@dataclass(frozen=True)
class Row:
    """One method on one instance."""

    method: str
    run: Run
    cost: Cost | None = None
    """Of its plan."""
    gap: float | None = None
    """Of its plan to our bound."""
    own_gap: float | None = None
    """Of its plan, or of the relaxation's value, to its own bound."""
    again: float | None = None
    """Seconds of the second solve."""
    cost_again: Cost | None = None
    """Of the second plan."""
    moves: int | None = None
    """Replicas that the second plan starts."""

    @property
    def is_plan(self) -> bool:
        """It has a plan that breaks no row."""
        return self.cost is not None and not self.cost.faults

    @property
    def gave_up(self) -> bool:
        """It would give up on larger instances too."""
        return self.run.outcome in ("over limit", "over memory") or (
            self.run.outcome == "cut short" and self.cost is None
        )


@dataclass(frozen=True)
class Terms:
    """The same for all methods of one benchmark."""

    limit: float
    """Seconds of each solve."""
    most_memory: int
    """Bytes."""
    folder: Path
    """For what the runs hand over."""


@dataclass(frozen=True)
class Instance:
    """A problem before and after its demands changed, and the files of both."""

    before: ProblemArrays
    after: ProblemArrays
    files: tuple[Path, Path]


def compare(instance: Instance, methods: Sequence[str], lost: dict[str, str], terms: Terms) -> Iterator[Row]:
    """A row for each method as soon as it is there; `lost` says of methods why they are not tried, and grows."""
    bound = None
    for name in methods:
        reason = lost.get(name) or _unfit(METHODS[name], instance.before)
        if reason:
            yield Row(name, Run("not run", reason))
            continue
        folder = terms.folder / instance.files[0].stem / name
        row = _row(name, instance.before, Task(instance.files[0], terms.limit, folder), terms, bound)
        if name == "ours":
            bound = row.run.bound
        if row.gave_up:
            lost[name] = f"gave up at {len(instance.before.arcs_demand):,} arcs"
        if row.is_plan and (name == "ours" or row.run.outcome == "done"):
            row = _again(row, instance.after, Task(instance.files[1], terms.limit, folder / "again", folder), terms)
        yield row


def _unfit(method: Method, problem: ProblemArrays) -> str:
    """Why a method is not tried on a problem of this size; empty when it is."""
    if len(problem.arcs_demand) > method.most_arcs:
        return f"above {method.most_arcs:,.0f} arcs"
    if len(problem.demands_covers_offsets) - 1 < method.least_demands:
        return f"below {method.least_demands} demands"
    return ""


def _row(name: str, problem: ProblemArrays, task: Task, terms: Terms, bound: float | None) -> Row:
    found = run(name, task, most_memory=terms.most_memory)
    bound = found.bound if name == "ours" else bound
    if found.replicas is None:
        own = None
        if found.value is not None and found.bound is not None:
            own = (found.value - found.bound) / max(abs(found.value), 1e-9)
        return Row(name, found, own_gap=own)
    cost = cost_of(problem, found.replicas)
    return Row(
        name, found, cost,
        gap=None if bound is None else cost.gap(bound),
        own_gap=None if found.bound is None else cost.gap(found.bound),
    )  # fmt: skip


def _again(row: Row, changed: ProblemArrays, task: Task, terms: Terms) -> Row:
    found = run(row.method, task, most_memory=terms.most_memory)
    if found.replicas is None or row.run.replicas is None:
        return row
    cost = cost_of(changed, found.replicas)
    moves = started(changed, row.run.replicas, found.replicas)
    return replace(row, again=found.seconds, cost_again=cost, moves=moves)
