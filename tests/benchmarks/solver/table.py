"""The results as JSON and as the tables of `docs/benchmarks.md`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.solver.catalogue import METHODS
from benchmarks.solver.comparing import Row
from parkade.problem.arrays import ProblemArrays

HEAD = "| method | plan $/h | of it shortfall | gap to our bound | own proof | s | MB | again s | again $/h | started |"


@dataclass(frozen=True)
class Section:
    """One instance with its rows."""

    name: str
    problem: Mapping[str, int]
    bound: float | None
    """Ours, $/h."""
    rows: Sequence[Row]


def sizes_of(problem: ProblemArrays) -> Mapping[str, int]:
    """What is said of an instance."""
    return {
        "demands": len(problem.demands_covers_offsets) - 1,
        "covers": len(problem.demands_covers_quantity),
        "supplies": len(problem.supplies_steps_offsets) - 1,
        "units": int(problem.supplies_steps_count.sum()),
        "steps": len(problem.supplies_steps_count),
        "arcs": len(problem.arcs_demand),
        "limits": len(problem.limits_bound),
    }


def as_json(section: Section) -> dict[str, object]:
    """Everything that the table says, unrounded; $/h, seconds and bytes."""
    return {
        "name": section.name,
        **section.problem,
        "bound": section.bound,
        "methods": [_json(r) for r in section.rows],
    }


def _json(row: Row) -> dict[str, object]:
    run, cost, again = row.run, row.cost, row.cost_again
    return {
        "method": row.method,
        "outcome": "infeasible" if cost and cost.faults else run.outcome,
        "note": "; ".join(cost.faults) if cost and cost.faults else run.note,
        "objective": cost.total if cost else None,
        "shortfall": cost.shortfall if cost else None,
        "relaxation": run.value,
        "gap": row.gap,
        "ownBound": run.bound,
        "ownGap": row.own_gap,
        "seconds": run.seconds,
        "peakMemoryBytes": run.memory,
        "again": {
            "seconds": row.again,
            "objective": again.total if again else None,
            "faults": list(again.faults) if again else [],
            "started": row.moves,
        },
    }


def as_markdown(section: Section) -> str:
    """A heading, a line on the instance, and the table."""
    about = ", ".join(f"{count:,} {what}" for what, count in section.problem.items())
    bound = "no bound" if section.bound is None else f"our bound {section.bound:,.6g} $/h"
    rule = "|" + "---|" * (HEAD.count("|") - 1)
    return "\n".join([f"### {section.name}", "", f"{about}; {bound}.", "", HEAD, rule, *map(_line, section.rows)])


def methods_markdown(names: Sequence[str]) -> str:
    """What the methods of the tables are."""
    return "\n".join(
        ["| method | what it is |", "|---|---|", *(f"| {name} | {METHODS[name].what} |" for name in names)]
    )


def _line(row: Row) -> str:
    run, cost, again = row.run, row.cost, row.cost_again
    if cost is not None and cost.faults:
        plan = f"infeasible: {cost.faults[0]}"
    elif cost is not None:
        plan = f"{cost.total:,.6g}" + (" (at the limit)" if run.outcome == "cut short" else "")
    elif run.value is not None:
        plan = f"relaxation {run.value:,.6g}"
    else:
        outcome = "nothing at the limit" if run.outcome == "cut short" else run.outcome
        plan = f"{outcome}: {run.note}" if run.note else outcome
    cells = [
        row.method,
        plan,
        f"{cost.shortfall:,.4g}" if row.is_plan and cost else "",
        _percent(row.gap) if row.is_plan else "",
        _percent(row.own_gap) if row.is_plan or run.value is not None else "",
        _seconds(run.seconds),
        f"{run.memory / 1e6:,.0f}" if run.memory is not None and run.seconds is not None else "",
        _seconds(row.again),
        "" if again is None else f"{again.total:,.6g}" if not again.faults else "infeasible",
        f"{row.moves:,}" if row.moves is not None else "",
    ]
    return f"| {' | '.join(cells)} |"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}" if value < 10.0 else "> 1000%"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
