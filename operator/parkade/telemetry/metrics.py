"""Every Prometheus metric of the operator, declared once; base units, `_total` for counters."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

_PHASE_BUCKETS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60)
_NOT_KNOWN: Final = float("nan")
"""Of a figure without labels while this replica has no plan; Prometheus leaves it out of `max` and of comparisons."""


@dataclass(frozen=True, slots=True)
class PlanFigures:
    """What one plan costs, and how sure that is."""

    gap: float
    cost: float
    """$ per hour."""
    bound: float
    """$ per hour; no plan of the numbers framed can cost less."""
    solve_seconds: float
    cost_parts: Mapping[str, float]
    """$ per hour by cause; they add up to `cost`."""


@dataclass(frozen=True, slots=True)
class EnergyFigures:
    """What a kilowatt-hour costs at one pool now."""

    pool: str
    dollars_per_kwh: float
    grams_per_kwh: float
    """Marginal grams of CO2."""


@dataclass(frozen=True, slots=True)
class WorkloadFigures:
    """What one workload's placement is expected to use, and what it is meant to be."""

    workload: str
    vehicle_replicas: int
    """Ready now."""
    datacenter_replicas: int
    """Ready now."""
    watts: float
    grams_per_hour: float
    """Grams of CO2."""
    dollars_per_hour: float
    planned_vehicle_replicas: int
    planned_datacenter_replicas: int
    shortfalls: int
    """Wants that the plan does not meet in full."""
    percentile: int
    """The one that the workload's latency is judged by."""
    target_seconds: float
    """Latency at that percentile that its manifest asks for; 0: none."""
    expected_seconds: float
    """Latency at that percentile that the plan predicts; 0: none."""


class Metrics:
    """The operator's metrics in one registry; built once at start and passed down."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        disable_created_metrics()  # type: ignore[no-untyped-call] # a series more for each counter, of which Prometheus makes nothing
        ProcessCollector(registry=self.registry)
        self._declare_cycle()
        self._declare_state()
        self._declare_workloads()
        self.rest()

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
        for outcome in ("changed", "steady", "unchanged", "failed", "fenced"):
            self.cycles.labels(outcome)  # from 0, so that the first failure is an increase
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

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(name, help_text, labels, registry=self.registry)

    def _declare_state(self) -> None:
        gauge = self._gauge
        self.gap = gauge("parkade_plan_gap", "Relative distance of the plan's cost from its bound; 0 is optimal.")
        self.cost = gauge("parkade_plan_cost_dollars_per_hour", "Cost of the plan in $/h (modelled).")
        self.bound = gauge("parkade_plan_bound_dollars_per_hour", "Lower bound of the plan's cost in $/h.")
        self.cost_parts = gauge(
            "parkade_plan_cost_part_dollars_per_hour", "Cost of the plan in $/h by cause (modelled).", "part"
        )
        self.vehicles = gauge("parkade_vehicles", "Vehicles by pool and presence.", "pool", "presence")
        self.energy_price = gauge(
            "parkade_pool_energy_price_dollars_per_kwh", "Price of energy at a pool now, in $/kWh.", "pool"
        )
        self.carbon = gauge(
            "parkade_pool_carbon_intensity_grams_per_kwh", "Marginal CO2 of energy at a pool now, in g/kWh.", "pool"
        )
        self.model_files = gauge(
            "parkade_model_files", "Model files on their way into the model store or in it, by state.", "state"
        )

    def _declare_workloads(self) -> None:
        gauge = self._gauge
        self.replicas = gauge("parkade_replicas", "Ready replicas by workload and tier.", "workload", "tier")
        self.planned = gauge(
            "parkade_planned_replicas", "Replicas that the plan wants by workload and tier.", "workload", "tier"
        )
        self.shortfalls = gauge(
            "parkade_workload_shortfalls", "Wants of a workload that the plan does not meet in full.", "workload"
        )
        self.target = gauge(
            "parkade_workload_latency_target_seconds",
            "Latency that the workload's manifest asks for, at its percentile.",
            "workload",
            "percentile",
        )
        self.expected = gauge(
            "parkade_workload_expected_latency_seconds",
            "Latency that the plan predicts, at the workload's percentile (modelled).",
            "workload",
            "percentile",
        )
        self.watts = gauge("parkade_workload_watts", "Watts of a workload's placement (modelled).", "workload")
        self.grams = gauge(
            "parkade_workload_carbon_grams_per_hour", "Grams of CO2 per hour of a workload (modelled).", "workload"
        )
        self.dollars = gauge("parkade_workload_cost_dollars_per_hour", "$/h of a workload (modelled).", "workload")

    def rest(self) -> None:
        """Say nothing of the state: another replica leads, and what this one knew is old."""
        for figure in (self.gap, self.cost, self.bound):
            figure.set(_NOT_KNOWN)
        for gauge in (self.cost_parts, self.vehicles, self.energy_price, self.carbon, self.model_files):
            gauge.clear()
        self.show_workloads(())

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
        for part, dollars in figures.cost_parts.items():
            self.cost_parts.labels(part).set(dollars)

    def show_workloads(self, workloads: Iterable[WorkloadFigures]) -> None:
        """Replace the figures of all workloads; those of deleted workloads disappear."""
        by_tier, by_percentile = (self.replicas, self.planned), (self.target, self.expected)
        for gauge in (*by_tier, *by_percentile, self.shortfalls, self.watts, self.grams, self.dollars):
            gauge.clear()
        for row in workloads:
            name, percentile = row.workload, str(row.percentile)
            self.replicas.labels(name, "Vehicle").set(row.vehicle_replicas)
            self.replicas.labels(name, "Datacenter").set(row.datacenter_replicas)
            self.planned.labels(name, "Vehicle").set(row.planned_vehicle_replicas)
            self.planned.labels(name, "Datacenter").set(row.planned_datacenter_replicas)
            self.shortfalls.labels(name).set(row.shortfalls)
            self.watts.labels(name).set(row.watts)
            self.grams.labels(name).set(row.grams_per_hour)
            self.dollars.labels(name).set(row.dollars_per_hour)
            for gauge, seconds in ((self.target, row.target_seconds), (self.expected, row.expected_seconds)):
                if seconds > 0:
                    gauge.labels(name, percentile).set(seconds)

    def show_vehicles(self, counts: Iterable[tuple[str, str, int]]) -> None:
        """Replace the vehicle counts by rows of (pool, presence, count)."""
        self.vehicles.clear()
        for pool, presence, count in counts:
            self.vehicles.labels(pool, presence).set(count)

    def show_energy(self, pools: Iterable[EnergyFigures]) -> None:
        """Replace what a kilowatt-hour costs at each pool."""
        self.energy_price.clear()
        self.carbon.clear()
        for row in pools:
            self.energy_price.labels(row.pool).set(row.dollars_per_kwh)
            self.carbon.labels(row.pool).set(row.grams_per_kwh)

    def show_model_files(self, states: Iterable[str]) -> None:
        """Count model files by state; every state is shown, so that the first failure is seen."""
        counts = dict.fromkeys(("Staged", "Fetching", "Failed"), 0)
        for state in states:
            counts[state] = counts.get(state, 0) + 1
        for state, count in counts.items():
            self.model_files.labels(state).set(count)
