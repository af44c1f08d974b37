"""From routers' counts to what a plan may take from them: rates that rise soon and fall late, and noise left out.

Pure: the times of reading are arguments. `docs/placement.md`, *Observed demand*, has the constants and why they are so.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from parkade.changes.durations import (
    NO_TRIP,
    STEP,
    TIMES_SECONDS,
    Kind,
    Sums,
    Trip,
    is_away,
    renewed,
    round_trips,
    stepped,
    told,
)
from parkade.settings import Economics
from parkade.snapshot import Snapshot
from parkade.snapshot.observed import ObservedFigures, ObservedTime, ObservedWorkload, RouterReport, WorkloadCounts

RISE_SECONDS: Final = 30.0
"""Time constant of the mean while the rate is above it."""
FALL_SECONDS: Final = 300.0
"""Time constant while it is below: a pause of minutes is no reason to unload models."""
FLOOR_RATE: Final = 0.1
"""Requests/s planned for a region that asked within `KEEP_SECONDS`, however rarely."""
KEEP_SECONDS: Final = 3600.0
FIGURES_SECONDS: Final = 60.0
"""Time constant of what a status shows; it is also shown anew that often where it changed by less than `STEP`."""
YOUNG_SECONDS: Final = 120.0
"""A router met for the first time is believed from its start if that was not longer ago; else from now on."""
FORGOTTEN: Final = 1e-3
"""Of a count that faded so far nothing is kept."""
_FAILED: Final = ("failed", "unplaced", "shed")
_ENDED: Final = ("answered", *_FAILED)

K = TypeVar("K")
News = list[tuple[WorkloadCounts, WorkloadCounts, float]]
"""Of each router: what it said last, what it says now, and the seconds between."""


@dataclass(frozen=True, slots=True)
class _Region:
    mean: float
    planned: float
    asked: float
    """When the last request came."""


@dataclass(frozen=True, slots=True)
class _Workload:
    """What is remembered of one workload."""

    regions: Mapping[str, _Region] = field(default_factory=dict)
    answers: Mapping[float, float] = field(default_factory=dict)
    """Fading counts by upper bound in seconds."""
    ended: Mapping[str, float] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    """Digests of the model that `times` are of."""
    trips: Mapping[str, Trip] = field(default_factory=dict)
    """To cars that serve it, by their hardware."""
    times: Mapping[Kind, Sums] = field(default_factory=dict)
    used: Mapping[Kind, ObservedTime] = field(default_factory=dict)
    """What plans count on: it stays until enough answers tell otherwise."""
    figures: ObservedFigures | None = None
    shown: float = -math.inf
    """When `figures` were last set."""
    disagreed: int = 0


@dataclass(frozen=True, slots=True)
class Observations:
    """Everything that is remembered between two readings."""

    at: float = 0.0
    """Of the last reading, seconds of any clock that only advances."""
    reports: Mapping[str, RouterReport] = field(default_factory=dict)
    workloads: Mapping[str, _Workload] = field(default_factory=dict)

    def facts(self) -> tuple[ObservedWorkload, ...]:
        """What a snapshot carries, sorted."""
        return tuple(
            ObservedWorkload(
                key,
                tuple(sorted((name, row.planned) for name, row in known.regions.items() if row.planned > 0.0)),
                tuple(sorted(known.used.values())),
                known.figures,
                known.disagreed,
            )
            for key, known in sorted(self.workloads.items())
        )


def seeded(before: Observations, snapshot: Snapshot, now: float, economics: Economics) -> Observations:
    """With what a snapshot tells: workloads that are not known yet go on from what a former leader saw.

    Those that are gone are forgotten. Where a workload has other files than before, answers of these do not count for
    its times any more; what is used stays until there are enough of the new ones.
    """
    trips: dict[str, dict[str, Trip]] = {}
    for (key, hardware), trip in round_trips(snapshot, economics).items():
        trips.setdefault(key, {})[hardware] = trip
    known = dict(before.workloads)
    for workload in snapshot.workloads:
        rates = {row.region: _number(row.rate) for row in workload.status.observed.by_region}
        row = known.get(workload.key)
        if row is None:
            row = _Workload({name: _Region(rate, rate, now) for name, rate in rates.items()}, used=told(workload))
        files = tuple(str(file.sha256) for file in workload.spec.model.artifacts)
        times = row.times if row.files in ((), files) else {}
        known[workload.key] = replace(row, files=files, times=times, trips={**row.trips, **trips.get(workload.key, {})})
    there = {workload.key for workload in snapshot.workloads} | snapshot.unreadable
    return replace(before, workloads={key: row for key, row in known.items() if key in there})


def _number(text: str) -> float:
    """Of a status, which people can write too."""
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if 0.0 <= number < math.inf else 0.0


def folded(before: Observations, reports: Iterable[RouterReport], now: float) -> Observations:
    """One more reading, in which every live router answered."""
    current = {report.router: report for report in reports}
    news: dict[str, News] = {}
    for name, report in current.items():
        old = before.reports.get(name)
        if old is None or report.seconds < old.seconds:
            old = RouterReport(router=name, seconds=0.0)
            if report.seconds > YOUNG_SECONDS:
                old = report
        span = report.seconds - old.seconds
        for key, counts in report.workloads.items():
            news.setdefault(key, []).append((old.workloads.get(key, WorkloadCounts()), counts, span))
    pause = now - before.at if before.reports else 0.0
    workloads = {
        key: _next(before.workloads.get(key, _Workload()), news.get(key, []), pause, now)
        for key in before.workloads.keys() | news.keys()
    }
    return Observations(now, current, workloads)


def _rates(news: News) -> dict[str, float]:
    """Requests/s by region since the last reading. Where a request still waits, somebody asks."""
    rates: dict[str, float] = {}
    for old, counts, span in news:
        for region, count in counts.regions.items():
            rate = max(0.0, (count - old.regions.get(region, 0)) / span) if span > 0.0 else 0.0
            rates[region] = rates.get(region, 0.0) + max(rate, FLOOR_RATE if counts.waiting else 0.0)
    return rates


def _next(known: _Workload, news: News, pause: float, now: float) -> _Workload:
    rates = _rates(news)
    regions = {
        name: _region(known.regions.get(name), rates.get(name, 0.0), pause, now)
        for name in known.regions.keys() | {name for name, rate in rates.items() if rate > 0.0}
    }
    fade = math.exp(-pause / FIGURES_SECONDS)
    after = replace(
        known,
        regions={name: row for name, row in regions.items() if row.planned > 0.0},
        answers=_faded(known.answers, ((dict(old.answered), dict(new.answered)) for old, new, _ in news), fade),
        ended=_faded(known.ended, ((old.outcomes, new.outcomes) for old, new, _ in news), fade),
        disagreed=known.disagreed + sum(_grown(old, new, "disagreed") for old, new, _ in news),
    )
    return _shown(_timed(after, news, math.exp(-pause / TIMES_SECONDS)), now)


def _region(known: _Region | None, rate: float, pause: float, now: float) -> _Region:
    if known is None:
        return _Region(rate, max(stepped(rate), FLOOR_RATE), now)
    constant = RISE_SECONDS if rate > known.mean else FALL_SECONDS
    mean = rate + (known.mean - rate) * math.exp(-pause / constant)
    asked = now if rate > 0.0 else known.asked
    least = FLOOR_RATE if now - asked < KEEP_SECONDS else 0.0
    # of the mean of requests that come independently
    noise = math.sqrt(known.planned / (2.0 * RISE_SECONDS))
    planned = stepped(mean) if is_away(mean, known.planned, noise) else known.planned
    if least == 0.0 and mean < FLOOR_RATE:
        planned = 0.0
    return _Region(mean, max(planned, least), asked)


def _faded(
    known: Mapping[K, float], news: Iterable[tuple[Mapping[K, int], Mapping[K, int]]], fade: float
) -> dict[K, float]:
    counts = {key: count * fade for key, count in known.items()}
    for old, new in news:
        for key, count in new.items():
            counts[key] = counts.get(key, 0.0) + max(0, count - old.get(key, 0))
    return {key: count for key, count in counts.items() if count > FORGOTTEN}


def _grown(old: WorkloadCounts, new: WorkloadCounts, outcome: str) -> int:
    return max(0, new.verifications.get(outcome, 0) - old.verifications.get(outcome, 0))


def _timed(known: _Workload, news: News, fade: float) -> _Workload:
    """With the times of replicas, and those that are used of them."""
    times = {kind: (count * fade, total * fade, square * fade) for kind, (count, total, square) in known.times.items()}
    for old, new, _ in news:
        kinds = [(("", name), old.hardware.get(name), row) for name, row in new.hardware.items()]
        kinds += [((name, ""), old.places.get(name), row) for name, row in new.places.items()]
        for kind, was, row in kinds:
            sums = times.get(kind, (0.0, 0.0, 0.0))
            base = (was.count, was.seconds, was.squared_seconds) if was is not None else (0, 0.0, 0.0)
            grown = (row.count - base[0], row.seconds - base[1], row.squared_seconds - base[2])
            if grown[0] > 0:
                times[kind] = (sums[0] + grown[0], sums[1] + grown[1], sums[2] + grown[2])
    used = dict(known.used)
    for kind, sums in times.items():
        found = renewed(kind, used.get(kind), sums, known.trips.get(kind[1], NO_TRIP))
        if found is not None:
            used[kind] = found
    return replace(known, times={kind: sums for kind, sums in times.items() if sums[0] > FORGOTTEN}, used=used)


def _shown(known: _Workload, now: float) -> _Workload:
    """With figures that are new where they changed much, or where the old ones are old."""
    if not known.regions and not known.ended and known.figures is None:
        return known
    ended = sum(known.ended.get(outcome, 0.0) for outcome in _ENDED)
    failed = sum(known.ended.get(outcome, 0.0) for outcome in _FAILED)
    figures = ObservedFigures(
        rate=sum(row.mean for row in known.regions.values()),
        p50=_quantile(known.answers, 0.50),
        p99=_quantile(known.answers, 0.99),
        failed=failed / ended if ended else 0.0,
    )
    old = known.figures
    if old is not None and now - known.shown < FIGURES_SECONDS:
        pairs = ((figures.rate, old.rate), (figures.p50, old.p50), (figures.p99, old.p99), (figures.failed, old.failed))
        if all(_alike(*pair) for pair in pairs):
            return known
    return replace(known, figures=figures, shown=now)


def _alike(one: float, other: float) -> bool:
    low, high = sorted((one, other))
    return high <= low * STEP or high < 1e-6


def _quantile(answers: Mapping[float, float], share: float) -> float:
    """The upper bound of the bucket in which it falls, seconds; 0 without answers."""
    left = share * sum(answers.values())
    for bound, count in sorted(answers.items()):
        left -= count
        if left <= 1e-9:
            return bound
    return 0.0
