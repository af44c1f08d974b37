"""`kubectl parkade plan`: what would run where, beside what runs now."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from parkade.api import InferenceWorkload
from parkade.cluster.surveying import Survey
from parkade.kubectl.screen import Screen, table
from parkade.kubectl.words import count, number
from parkade.plan import Plan
from parkade.plan.plan import WorkloadPlan


@dataclass(frozen=True, slots=True)
class PlannedPlace:
    """Replicas at one place."""

    place: str
    tier: str
    replicas: int
    share: int
    """Percent of the expected rate."""
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class WorkloadForecast:
    """One workload now and as planned."""

    namespace: str
    name: str
    change: str
    """same, moves, starts, stops, or waits (it runs neither now nor as planned)."""
    now: tuple[PlannedPlace, ...]
    planned: tuple[PlannedPlace, ...]
    cost_per_hour_now: float
    """$, expected."""
    cost_per_hour_planned: float
    expected_p99_seconds: float
    """As planned, at the workload's own percentile."""
    problems: tuple[str, ...]
    """Wants that are not met, and why it is left out."""
    refused: tuple[str, ...]
    """Places that may not be used, and why."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """A plan beside what is."""

    at: datetime
    applied: tuple[str, ...]
    """What was planned as if it were there: kind and name of each manifest."""
    workloads: tuple[WorkloadForecast, ...]
    cost_per_hour_now: float
    cost_per_hour_planned: float
    watts_planned: float
    grams_co2_per_hour_planned: float
    gap: float
    """Largest possible distance of the plan's cost from the cheapest, as a ratio."""
    not_shown: tuple[str, ...]


def forecast_of(survey: Survey, plan: Plan, manifests: tuple[str, ...] = ()) -> Forecast:
    """Put a plan of all workloads beside what the survey shows."""
    there = {workload.key: workload for workload in survey.workloads}
    rows = tuple(_row(part, there.get(part.workload)) for part in plan.workloads)
    return Forecast(
        at=survey.now,
        applied=manifests,
        workloads=rows,
        cost_per_hour_now=sum(row.cost_per_hour_now for row in rows),
        cost_per_hour_planned=plan.expected.cost_per_hour,
        watts_planned=plan.expected.watts,
        grams_co2_per_hour_planned=plan.expected.grams_co2_per_hour,
        gap=plan.certificate.packed_gap,
        not_shown=tuple(f"{it.part}: {it.why}" for it in survey.withheld),
    )


def _row(part: WorkloadPlan, workload: InferenceWorkload | None) -> WorkloadForecast:
    placements = workload.status.placements if workload else ()
    now = tuple(PlannedPlace(it.place, it.tier, it.replicas, it.share, it.reason, "") for it in placements)
    planned = tuple(
        PlannedPlace(it.place, it.tier, it.replicas, it.share, str(it.reason), it.message) for it in part.placements
    )
    problems = [f"{it.cover}: {it.reason}: {it.message}" for it in part.shortfalls]
    if part.left_out is not None:
        problems.append(f"{part.left_out.reason}: {part.left_out.message}")
    namespace, _, name = part.workload.partition("/")
    return WorkloadForecast(
        namespace=namespace,
        name=name,
        change=_change(now, planned),
        now=now,
        planned=planned,
        cost_per_hour_now=number(workload.status.expected.cost_per_hour) if workload else 0.0,
        cost_per_hour_planned=part.expected.cost_per_hour,
        expected_p99_seconds=part.expected.p99,
        problems=tuple(problems),
        refused=tuple(f"{it.place}: {it.reason}: {it.message}" for it in part.refusals),
    )


def _change(now: tuple[PlannedPlace, ...], planned: tuple[PlannedPlace, ...]) -> str:
    if not planned:
        return "stops" if now else "waits"
    if not now:
        return "starts"
    before, after = ({it.place: it.replicas for it in places} for places in (now, planned))
    return "same" if before == after else "moves"


def render(forecast: Forecast, screen: Screen, only: str = "") -> str:
    """A line each, sums, and for what changes or is short the reasons; `only` one workload with all it was refused."""
    rows = [row for row in forecast.workloads if not only or f"{row.namespace}/{row.name}" == only]
    header = ["WORKLOAD", "CHANGE", "P99", "$/H NOW", "$/H PLANNED", "NOW", "PLANNED"]
    lines = [
        [f"{row.namespace}/{row.name}", row.change,
         f"{row.expected_p99_seconds * 1000:.0f}ms" if row.expected_p99_seconds else "-",
         f"{row.cost_per_hour_now:.3f}", f"{row.cost_per_hour_planned:.3f}", _places(row.now), _places(row.planned)]
        for row in rows
    ]  # fmt: skip
    blocks = [table(screen, header, lines, (2, 3, 4), (2, 5)) if lines else ["no workloads"]]
    assumed = f" with {', '.join(forecast.applied)}" if forecast.applied else ""
    changed = sum(row.change not in ("same", "waits") for row in forecast.workloads)
    sums = (
        f"planned{assumed}: {count(changed, 'workload')} changed; {forecast.cost_per_hour_now:.3f} $/h now, "
        f"{forecast.cost_per_hour_planned:.3f} $/h planned, {forecast.watts_planned:,.0f} W, "
        f"{forecast.grams_co2_per_hour_planned:,.0f} g CO2/h, at most {forecast.gap:.2%} from the cheapest plan; "
        "nothing was changed"
    )
    blocks += [screen.wrapped(sums, "  ", ""), list(_why(screen, rows, everything=bool(only)))]
    blocks.append([f"Not shown: {row}" for row in forecast.not_shown])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _places(places: tuple[PlannedPlace, ...]) -> str:
    more = f" +{len(places) - 3}" if len(places) > 3 else ""
    return " ".join(f"{it.place}:{it.replicas}" for it in places[:3]) + more or "-"


def _why(screen: Screen, rows: list[WorkloadForecast], *, everything: bool) -> Iterator[str]:
    for row in rows:
        name = f"{row.namespace}/{row.name}"
        said = (
            [f"{it.reason} at {it.place}: {it.message}" for it in row.planned]
            if row.change != "same" or everything
            else []
        )
        said += row.problems
        if everything or not row.planned:
            said += [f"not at {refusal}" for refusal in row.refused]
        if said:
            yield screen.paint(name, "bold")
        for sentence in said:
            yield from screen.wrapped(sentence, "    ", "  ")
