"""`kubectl parkade top`: what every workload does now, a line each."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from parkade.api import InferenceWorkload
from parkade.cluster.surveying import Survey
from parkade.kubectl.problems import found
from parkade.kubectl.screen import Screen, table
from parkade.kubectl.things import misses_target, rests
from parkade.kubectl.words import count, duration, number


@dataclass(frozen=True, slots=True)
class TopPlace:
    """Where a part of a workload's requests goes."""

    place: str
    tier: str
    replicas: int
    share: int
    """Percent of the expected rate."""


@dataclass(frozen=True, slots=True)
class TopRow:
    """One workload."""

    namespace: str
    name: str
    state: str
    """ready, late (answers over its target), resting, or the reason why it does not answer."""
    requests_per_second: float
    """Observed."""
    p50_seconds: float
    p99_seconds: float
    """Observed; 0: nothing was."""
    target_seconds: float
    percentile: int
    failed_share: float
    replicas: int
    """Ready."""
    places: tuple[TopPlace, ...]
    cost_per_hour: float
    """$, expected."""
    watts: int


@dataclass(frozen=True, slots=True)
class Top:
    """All workloads at one moment."""

    at: datetime
    namespace: str
    workloads: tuple[TopRow, ...]
    not_shown: tuple[str, ...]


ORDERS: Final[dict[str, Callable[[TopRow], tuple[object, ...]]]] = {
    "state": lambda row: (row.state in ("ready", "resting"), row.state == "resting", -row.requests_per_second),
    "rate": lambda row: (-row.requests_per_second,),
    "latency": lambda row: (-row.p99_seconds,),
    "cost": lambda row: (-row.cost_per_hour,),
    "name": lambda _row: (),
}
"""What rows are sorted by; those that are alike go by name."""


def top_of(survey: Survey, order: str = "state") -> Top:
    """Rows of all workloads that were read."""
    rows = sorted(map(_row, survey.workloads), key=lambda row: (*ORDERS[order](row), row.namespace, row.name))
    return Top(survey.now, survey.namespace, tuple(rows), tuple(f"{it.part}: {it.why}" for it in survey.withheld))


def _row(workload: InferenceWorkload) -> TopRow:
    status, latency = workload.status, workload.spec.latency
    seen = status.observed
    return TopRow(
        namespace=workload.metadata.namespace,
        name=workload.metadata.name,
        state=_state(workload),
        requests_per_second=number(seen.rate),
        p50_seconds=duration(seen.p50),
        p99_seconds=duration(seen.p99),
        target_seconds=latency.target.seconds if latency else 0.0,
        percentile=latency.percentile if latency else 0,
        failed_share=number(seen.failed),
        replicas=status.replicas,
        places=tuple(TopPlace(it.place, it.tier, it.replicas, it.share) for it in status.placements),
        cost_per_hour=number(status.expected.cost_per_hour),
        watts=status.expected.watts,
    )


def _state(workload: InferenceWorkload) -> str:
    ready = found(workload.status.conditions, "Ready")
    if rests(workload):
        return "resting"
    if ready.status != "True":
        return ready.reason or "NotPlannedYet"
    late = misses_target(workload) or found(workload.status.conditions, "SLOMet").status == "False"
    return "late" if late else "ready"


def render(top: Top, screen: Screen, lines: int = 0) -> str:
    """A table under a line of sums.

    Args:
        top: what to show.
        screen: where.
        lines: most lines, so that a live view fits; 0: all.
    """
    rows = top.workloads
    answered = sum(row.requests_per_second for row in rows)
    replicas = count(sum(row.replicas for row in rows), "replica")
    sums = (
        f"{top.at:%H:%M:%S} UTC: {count(len(rows), 'workload')}, {replicas}, "
        f"{answered:,.3g} requests/s, {sum(row.cost_per_hour for row in rows):,.2f} $/h, "
        f"{sum(row.watts for row in rows):,} W"
    )
    if not rows:
        return f"no workloads{f' in {top.namespace}' if top.namespace else ''}\n" + _hidden(top)
    shown = rows[: max(1, lines - 4)] if lines else rows
    header = ["WORKLOAD", "STATE", "RATE/S", "P50", "P99", "TARGET", "FAILED", "REPLICAS", "$/H", "PLACES"]
    text = table(screen, header, [_cells(row) for row in shown], (2, 3, 4, 5, 6, 7, 8), (3, 9, 6, 8), last_yields=True)
    more = [f"and {len(rows) - len(shown)} more"] if len(shown) < len(rows) else []
    painted = [text[0], *(_painted(screen, row, line) for row, line in zip(shown, text[1:], strict=True))]
    return "\n".join([screen.clipped(sums, screen.width), *painted, *more]) + "\n" + _hidden(top)


def _hidden(top: Top) -> str:
    return "".join(f"Not shown: {row}\n" for row in top.not_shown)


def _painted(screen: Screen, row: TopRow, line: str) -> str:
    if row.state in ("ready", "resting"):
        return line
    return screen.paint(line, "yellow" if row.state == "late" else "red")


def _cells(row: TopRow) -> list[str]:
    return [
        f"{row.namespace}/{row.name}",
        row.state,
        f"{row.requests_per_second:,.3g}",
        _time(row.p50_seconds),
        _time(row.p99_seconds),
        f"{_time(row.target_seconds)}@p{row.percentile}" if row.percentile else "-",
        f"{row.failed_share:.2%}",
        f"{row.replicas:,}",
        f"{row.cost_per_hour:,.3f}",
        " ".join(f"{it.place}:{it.replicas}" for it in row.places[:3])
        + (f" +{len(row.places) - 3}" if len(row.places) > 3 else "")
        or "-",
    ]


def _time(span: float) -> str:
    """Three digits at most: 810us, 21ms, 1.25s."""
    if span <= 0:
        return "-"
    if span < 0.001:
        return f"{span * 1e6:.0f}us"
    return f"{span * 1e3:.3g}ms" if span < 0.9995 else f"{span:.3g}s"
