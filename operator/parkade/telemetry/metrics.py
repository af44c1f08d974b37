"""Every Prometheus metric of the operator, declared once; base units, `_total` for counters."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PHASE_BUCKETS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60)


@dataclass(frozen=True, slots=True)
class PlanFigures:
    """What one plan costs, and how sure that is."""

    gap: float
    cost: float
    """$ per hour."""
    bound: float
    """$ per hour; no plan of the numbers framed can cost less."""
    solve_seconds: float


@dataclass(frozen=True, slots=True)
class WorkloadFigures:
    """What one workload's placement is expected to use."""

    workload: str
    vehicle_replicas: int
    """Ready now."""
    datacenter_replicas: int
    """Ready now."""
    watts: float
    grams_per_hour: float
    """Grams of CO2."""
    dollars_per_hour: float


class Metrics:
    """The operator's metrics in one registry; built once at start and passed down."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._declare_cycle()
        self._declare_state()

    def _declare_cycle(self) -> None:
        registry = self.registry
        self.phase_seconds = Histogram(
            "parkade_cycle_phase_seconds",
            "Seconds that one phase of the planning cycle took.",
            ["phase"],
            registry=registry,
            buckets=_PHASE_BUCKETS,
        )
        self.applied_seconds = Histogram(
            "parkade_event_to_applied_seconds",
            "Seconds from the first event that woke a cycle until its changes were applied.",
            registry=registry,
            buckets=_PHASE_BUCKETS,
        )
        self.cycles = Counter("parkade_cycles_total", "Planning cycles by outcome.", ["outcome"], registry=registry)
        self.changes = Counter(
            "parkade_changes_total", "Changes by kind and outcome.", ["kind", "outcome"], registry=registry
        )
        self.solve_seconds = Histogram(
            "parkade_solve_seconds", "Seconds that the solver took.", registry=registry, buckets=_PHASE_BUCKETS
        )
        self.leading = Gauge("parkade_leading", "1 while this replica holds the Lease.", registry=registry)
        self.unreadable = Gauge(
            "parkade_unreadable_objects", "Objects of the cluster that cannot be read as their kind.", registry=registry
        )

    def _declare_state(self) -> None:
        def gauge(name: str, help_text: str, *labels: str) -> Gauge:
            return Gauge(name, help_text, labels, registry=self.registry)

        self.gap = gauge("parkade_plan_gap", "Relative distance of the plan's cost from its bound; 0 is optimal.")
        self.cost = gauge("parkade_plan_cost_dollars_per_hour", "Cost of the plan in $/h (modelled).")
        self.bound = gauge("parkade_plan_bound_dollars_per_hour", "Lower bound of the plan's cost in $/h.")
        self.vehicles = gauge("parkade_vehicles", "Vehicles by pool and presence.", "pool", "presence")
        self.replicas = gauge("parkade_replicas", "Ready replicas by workload and tier.", "workload", "tier")
        self.watts = gauge("parkade_workload_watts", "Watts of a workload's placement (modelled).", "workload")
        self.grams = gauge(
            "parkade_workload_carbon_grams_per_hour", "Grams of CO2 per hour of a workload (modelled).", "workload"
        )
        self.dollars = gauge("parkade_workload_cost_dollars_per_hour", "$/h of a workload (modelled).", "workload")

    @contextmanager
    def phase(self, name: str, times: dict[str, float]) -> Iterator[None]:
        """Time one phase; its seconds go to the histogram and into `times`, also when it raises."""
        began = perf_counter()
        try:
            yield
        finally:
            times[name] = perf_counter() - began
            self.phase_seconds.labels(name).observe(times[name])

    def show_plan(self, figures: PlanFigures) -> None:
        """Set the figures of the newest plan."""
        self.gap.set(figures.gap)
        self.cost.set(figures.cost)
        self.bound.set(figures.bound)
        self.solve_seconds.observe(figures.solve_seconds)

    def show_workloads(self, workloads: Iterable[WorkloadFigures]) -> None:
        """Replace the figures of all workloads; those of deleted workloads disappear."""
        for gauge in (self.replicas, self.watts, self.grams, self.dollars):
            gauge.clear()
        for row in workloads:
            self.replicas.labels(row.workload, "Vehicle").set(row.vehicle_replicas)
            self.replicas.labels(row.workload, "Datacenter").set(row.datacenter_replicas)
            self.watts.labels(row.workload).set(row.watts)
            self.grams.labels(row.workload).set(row.grams_per_hour)
            self.dollars.labels(row.workload).set(row.dollars_per_hour)

    def show_vehicles(self, counts: Iterable[tuple[str, str, int]]) -> None:
        """Replace the vehicle counts by rows of (pool, presence, count)."""
        self.vehicles.clear()
        for pool, presence, count in counts:
            self.vehicles.labels(pool, presence).set(count)
