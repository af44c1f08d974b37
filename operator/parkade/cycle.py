"""The planning cycle: one short numbered function. It holds no decision of its own; the pure rooms decide.

What takes long (fetching files, loading models) is handed to `Shipping` and shows in a later snapshot. Everything is
recomputed from what is true now; nothing that a restart loses is needed, except that drain times begin anew. The state
of the last solve only makes the next one quicker.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol

from parkade.api import Reason
from parkade.changes import (
    Announce,
    ApplyService,
    Change,
    Changes,
    Comparison,
    Fronts,
    Gateway,
    LoadModel,
    RemoveFiles,
    Shipment,
    StageArtifact,
    Target,
    UnloadModel,
    Unoffered,
    diff,
    lasting,
    observe_offers,
    observe_rejections,
    unreachable,
    with_observed_demand,
    with_observed_times,
)
from parkade.cluster import Applying, ClusterClient, ClusterFacts, Source, Unreadable, read, refresh
from parkade.errors import ClusterRefused
from parkade.plan import Plan, Solve
from parkade.problem.arrays import ProblemArrays
from parkade.problem.energy import energy_rate
from parkade.settings import Economics, Settings
from parkade.snapshot import ObservedWorkload, Rejection, Snapshot, StagedArtifact, StoredModel, TritonServer
from parkade.solver import SolutionArrays
from parkade.solver.warm import Memory
from parkade.telemetry import EnergyFigures, Metrics, PlanFigures, WorkloadFigures, logfmt

Solver = Callable[[ProblemArrays, Memory | None], tuple[SolutionArrays, Memory]]
"""From where the last solve ended, if there was one, to where this one ends."""
Planner = Callable[[Snapshot, Economics, Solve], Plan]
REPLAN_SECONDS: Final = 60.0
"""After this long a plan is made though nothing changed: prices, schedules and forecasts go by the clock."""
_REMEMBERED: Final = 10_000
"""Sentences that were said once already; forgotten together, which only repeats them."""

log = logging.getLogger("parkade.cycle")


@dataclass(frozen=True, slots=True)
class Woken:
    """Why a cycle starts."""

    causes: tuple[str, ...] = ()
    """Kinds of what changed, sorted; empty when only time has passed."""
    since: float | None = None
    """`time.monotonic()` of the first event; None without one."""


@dataclass(frozen=True, slots=True)
class Job:
    """Work that takes long, named so that it is neither run twice at a time nor retried in a rush."""

    key: str
    """What it does to what; a failure of this key backs off."""
    lane: str
    """At most one job at a time in each."""
    run: Callable[[], None]
    deadline: float
    """Seconds after which its lane is free for another job."""
    cause: str
    """What to wake the cycle with when it has ended."""


class Shipping(Protocol):
    """Facts about Triton and the model store, and the steps there."""

    def servers(self, snapshot: Snapshot) -> tuple[TritonServer, ...]:
        """Every server of every pool, probed."""

    def artifacts(self, snapshot: Snapshot) -> tuple[StagedArtifact, ...]:
        """The fate of every file that was asked for and is still named by a workload."""

    def stored(self, snapshot: Snapshot) -> tuple[StoredModel, ...] | None:
        """What the pools' repositories hold, empty where it is not time to look; None when one does not answer."""

    def start(self, step: Shipment, snapshot: Snapshot) -> bool:
        """Begin a step beside the cycle; False while the same or its server is under way, or backs off."""


class Observing(Protocol):
    """What routers observed of their requests."""

    def observed(self, snapshot: Snapshot) -> tuple[ObservedWorkload, ...]:
        """What is known now of the workloads in the snapshot, from its routers."""


Outcome = Literal["applied", "started", "waiting", "refused"]


@dataclass(frozen=True, slots=True)
class _Settled:
    """A turn that found nothing to change and nothing to wait for."""

    snapshot: Snapshot
    ends: datetime
    """When another plan is due."""

    def stands(self, snapshot: Snapshot) -> bool:
        """Whether nothing but time has passed, and not much of it."""
        return snapshot.now < self.ends and replace(snapshot, now=self.snapshot.now) == self.snapshot


@dataclass(slots=True)
class _Turn:
    """What one turn of the cycle did; for its report."""

    woken: Woken
    times: dict[str, float] = field(default_factory=dict)
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    fenced: bool = False


class Cycle:
    """One planning cycle a call of `turn`; called by one thread."""

    def __init__(
        self,
        settings: Settings,
        cluster: tuple[ClusterClient, Source, Applying],
        beside: tuple[Shipping, Observing],
        planner: tuple[Planner, Solver],
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._client, self._source, self._applying = cluster
        self._shipping, self._observing = beside
        self._metrics = metrics
        self._planner, self._solver = planner
        gateway = Gateway(settings.gateway, settings.grpc_gateway, settings.gateway_hostname)
        self._fronts = Fronts(settings.status_url, settings.services, gateway, settings.namespace)
        self._memory: Memory | None = None
        self._unoffered: Unoffered = {}
        self._rejections: tuple[Rejection, ...] = ()
        self._told: set[tuple[str, str]] = set()
        self._settled: _Settled | None = None

    def turn(self, term: int, leads: Callable[[], bool], woken: Woken) -> float | None:
        """Run one cycle as the leader of a term; in how many seconds another is due that no event will announce.

        Raises:
            ClusterUnavailable: the API server does not answer; nothing was half-decided, the next turn starts anew.
            ClusterRefused: it refuses to be read.
        """
        turn = _Turn(woken)
        with self._phase("read", turn):  # 1 what is true now
            facts = self._gather(term)
        if facts.paused:
            log.info("paused by the ConfigMap parkade-settings")
            return None
        if self._settled is not None and self._settled.stands(facts.snapshot):
            self._metrics.cycles.labels("unchanged").inc()
            return (self._settled.ends - facts.snapshot.now).total_seconds()
        self._settled = None
        with self._phase("plan", turn):  # 2 frame, 3 solve, 4 name and pack
            sought = with_observed_demand(lasting(facts.snapshot), self._settings.observed_demand)
            sought = with_observed_times(sought, self._settings.observed_times)
            plan = self._planner(sought, self._settings.economics, self._timed_solve(turn))
        with self._phase("diff", turn):  # 5 the steps from here to there
            changes, due = self._diff(facts, plan, frozenset())
        with self._phase("recheck", turn):  # 6 is it still so?
            fresh = refresh(self._client, self._settings.namespace, facts, self._source)
            if fresh.paused:
                return None
            if fresh.snapshot != facts.snapshot:
                changes, due = self._diff(fresh, plan, _changed(facts.snapshot, fresh.snapshot))
        with self._phase("apply", turn):  # 7 within budgets, as long as we lead
            self._apply(changes, fresh.snapshot, leads, turn)
        with self._phase("report", turn):  # 8 events, metrics, one line
            self._report(fresh, plan, changes, turn)
        if changes.is_empty and due is None and not fresh.unreadable and not _leaves(fresh.snapshot):
            self._settled = _Settled(fresh.snapshot, fresh.snapshot.now + timedelta(seconds=REPLAN_SECONDS))
        return due

    def _gather(self, term: int) -> ClusterFacts:
        """The whole snapshot: the cluster's part, Triton's and the store's."""
        facts = read(self._client, self._settings.namespace, term, datetime.now(UTC), self._source)
        if facts.paused:
            return facts
        snapshot = replace(
            facts.snapshot,
            servers=self._shipping.servers(facts.snapshot),
            artifacts=self._shipping.artifacts(facts.snapshot),
            stored=self._shipping.stored(facts.snapshot),
            observed=self._observing.observed(facts.snapshot),
        )
        self._unoffered = observe_offers(self._unoffered, snapshot)
        self._rejections = observe_rejections(self._rejections, snapshot)
        return replace(facts, snapshot=replace(snapshot, rejections=self._rejections))

    def _diff(self, facts: ClusterFacts, plan: Plan, changed: frozenset[str]) -> tuple[Changes, float | None]:
        comparison = Comparison(facts.snapshot, plan, self._unoffered, changed)
        return diff(comparison, self._fronts)

    def _apply(self, changes: Changes, snapshot: Snapshot, leads: Callable[[], bool], turn: _Turn) -> None:
        """Carry out the steps in order; a refused one is reported and the others go on."""
        for change in changes.ordered():
            if not leads():
                turn.fenced = True
                log.warning("the lease is lost; nothing more is applied in this term")
                return
            outcome = self._carry_out(change, snapshot)
            turn.outcomes[outcome] = turn.outcomes.get(outcome, 0) + 1
            self._metrics.changes.labels(change.kind, outcome).inc()

    def _carry_out(self, change: Change, snapshot: Snapshot) -> Outcome:
        try:
            match change:
                case StageArtifact() | LoadModel() | UnloadModel() | RemoveFiles():
                    return "started" if self._shipping.start(change, snapshot) else "waiting"
                case _:
                    self._applying.apply(change)
        except ClusterRefused as refusal:
            log.warning("%s is refused: %s", change.kind, refusal)
            self._tell_refusal(change, refusal)
            return "refused"
        return "applied"

    def _tell_refusal(self, change: Change, refusal: ClusterRefused) -> None:
        """Say on the workload what only its user can mend."""
        if not isinstance(change, ApplyService) or not refusal.already_exists:
            return
        name = change.workload.name
        problem = f"a Service named {name} exists that Parkade did not make; delete it or rename the workload"
        self._tell(change.workload, Reason.INVALID_VALUES.value, problem)

    def _tell(self, target: Target, reason: str, message: str) -> None:
        """An event that is said once, not every cycle."""
        if (target.uid, message) in self._told:
            return
        if len(self._told) >= _REMEMBERED:
            self._told.clear()
        self._told.add((target.uid, message))
        try:
            self._applying.apply(Announce(target, "Warning", reason, message))
        except ClusterRefused as refusal:
            log.warning("an event is refused: %s", refusal)

    def _report(self, facts: ClusterFacts, plan: Plan, changes: Changes, turn: _Turn) -> None:
        """Events about unreadable objects, metrics, and the line of this turn."""
        for row in facts.unreadable:
            self._tell_unreadable(row)
        metrics, snapshot = self._metrics, facts.snapshot
        self._tell_disagreements(snapshot)
        self._tell_routers(snapshot)
        metrics.unreadable.set(len(facts.unreadable))
        certificate = plan.certificate
        metrics.show_plan(
            PlanFigures(
                gap=certificate.packed_gap,
                cost=plan.cost.total,
                bound=certificate.bound,
                solve_seconds=turn.times.get("solve", 0.0),
                cost_parts=asdict(plan.cost),
            )
        )
        metrics.show_workloads(_figures(snapshot, plan))
        metrics.show_vehicles(_vehicles(snapshot))
        metrics.show_energy(_energy(snapshot))
        metrics.show_model_files(fact.state for fact in snapshot.artifacts)
        metrics.cycles.labels("fenced" if turn.fenced else "changed" if not changes.is_empty else "steady").inc()
        if turn.woken.since is not None and turn.outcomes:
            turn.times["event_to_applied"] = time.monotonic() - turn.woken.since
            metrics.applied_seconds.observe(turn.times["event_to_applied"])
        if not changes.is_empty:
            seconds = {f"{name}_seconds": value for name, value in turn.times.items()}
            outcomes = {outcome: count for outcome, count in turn.outcomes.items() if count}
            log.info("%s", logfmt(term=snapshot.term, causes=",".join(turn.woken.causes), **outcomes, **seconds))

    def _tell_routers(self, snapshot: Snapshot) -> None:
        """Log once why a router is behind no Service, or a Gateway before none."""
        problems = list(map(unreachable, snapshot.routers if self._settings.services else ()))
        if snapshot.routes is None and self._fronts.gateway != Gateway():
            problems.append(
                "a Gateway is set and the Gateway API is not installed; apply its CRDs, HTTPRoute and GRPCRoute"
            )
        for problem in problems:
            if problem and ("", problem) not in self._told:
                self._told.add(("", problem))
                log.warning("callers have one way in less: %s", problem)

    def _tell_disagreements(self, snapshot: Snapshot) -> None:
        """Cars that spot checks found out, as events of the workload; the cars themselves stay unnamed."""
        found = {row.workload: row.disagreed for row in snapshot.observed if row.disagreed}
        for workload in snapshot.workloads:
            if count := found.get(workload.key):
                meta = workload.metadata
                target = Target(workload.kind, meta.namespace, meta.name, meta.uid)
                self._tell(target, Reason.ANSWERS_DISAGREE.value, Reason.ANSWERS_DISAGREE.say(count=count))

    def _tell_unreadable(self, row: Unreadable) -> None:
        log.warning("%s %s is left out: %s", row.target.kind, row.target.key, row.message)
        self._tell(row.target, Reason.INVALID_VALUES.value, row.message)

    @contextmanager
    def _phase(self, name: str, turn: _Turn) -> Iterator[None]:
        with self._metrics.phase(name, turn.times):
            yield

    def _timed_solve(self, turn: _Turn) -> Solve:
        """The solver, starting where it ended last; its seconds summed over the rounds of packing."""

        def solve(problem: ProblemArrays) -> SolutionArrays:
            before, times = turn.times.get("solve", 0.0), dict[str, float]()
            with self._metrics.phase("solve", times):
                solution, self._memory = self._solver(problem, self._memory)
            turn.times["solve"] = before + times["solve"]
            return solution

        return solve


def _leaves(snapshot: Snapshot) -> bool:
    """Whether an object is being deleted, which may wait for nothing but time."""
    resources = (*snapshot.workloads, *snapshot.pools, *snapshot.cells)
    return any(resource.metadata.deletion_timestamp is not None for resource in resources)


def _changed(before: Snapshot, after: Snapshot) -> frozenset[str]:
    """Workloads that the plan does not know as they are now."""
    planned = {workload.key: workload.metadata.generation for workload in before.workloads}
    return frozenset(w.key for w in after.workloads if planned.get(w.key) != w.metadata.generation)


def _figures(snapshot: Snapshot, plan: Plan) -> Iterator[WorkloadFigures]:
    for workload in snapshot.workloads:
        part = plan.workload(workload.key)
        if part is None:
            continue
        endpoints = [endpoint for place in workload.status.placements for endpoint in place.endpoints]
        servers = sum(endpoint.replicas for endpoint in endpoints)
        on_cars = sum(place.replicas for place in part.placements if place.tier == "Vehicle")
        latency = workload.spec.latency
        yield WorkloadFigures(
            workload=workload.key,
            vehicle_replicas=max(0, workload.status.replicas - servers),
            datacenter_replicas=servers,
            watts=part.expected.watts,
            grams_per_hour=part.expected.grams_co2_per_hour,
            dollars_per_hour=part.expected.cost_per_hour,
            planned_vehicle_replicas=on_cars,
            planned_datacenter_replicas=part.replicas - on_cars,
            shortfalls=len(part.shortfalls),
            percentile=latency.percentile if latency else 99,
            target_seconds=latency.target.seconds if latency else 0.0,
            expected_seconds=part.expected.p99,
        )


def _vehicles(snapshot: Snapshot) -> Iterator[tuple[str, str, int]]:
    for pool in snapshot.vehicle_pools:
        rows = [cell.status.vehicles for cell in snapshot.cells_of.get(pool.metadata.name, ())]
        for presence in ("here", "silent", "gone"):
            yield pool.metadata.name, presence.capitalize(), sum(getattr(row, presence) for row in rows)


def _energy(snapshot: Snapshot) -> Iterator[EnergyFigures]:
    regions = {region.metadata.name: region for region in snapshot.regions}
    for pool in snapshot.pools:
        if region := regions.get(pool.spec.region):
            rate = energy_rate(region, snapshot.now, snapshot.series, pool)
            yield EnergyFigures(pool.metadata.name, rate.dollars, rate.grams)
