"""What the operator tells Prometheus: figures of the newest plan, and nothing of them once another replica leads."""

import math

from prometheus_client import generate_latest

from parkade.telemetry import EnergyFigures, Metrics, PlanFigures, WorkloadFigures

FIGURES = WorkloadFigures(
    workload="vision/signs",
    vehicle_replicas=3,
    datacenter_replicas=1,
    watts=400.0,
    grams_per_hour=104.0,
    dollars_per_hour=0.2,
    planned_vehicle_replicas=4,
    planned_datacenter_replicas=1,
    shortfalls=1,
    percentile=95,
    target_seconds=0.15,
    expected_seconds=0.0,
)


def test_a_plan_is_told_in_full() -> None:
    metrics = Metrics()
    metrics.show_plan(PlanFigures(gap=0.01, cost=2.0, bound=1.98, solve_seconds=0.1, cost_parts={"energy": 2.0}))
    metrics.show_workloads([FIGURES])
    metrics.show_energy([EnergyFigures("ca-home", 0.31, 260.0)])
    metrics.show_model_files(["Staged", "Failed", "Staged"])
    text = generate_latest(metrics.registry).decode()
    for line in (
        'parkade_plan_cost_part_dollars_per_hour{part="energy"} 2.0',
        'parkade_planned_replicas{tier="Vehicle",workload="vision/signs"} 4.0',
        'parkade_workload_shortfalls{workload="vision/signs"} 1.0',
        'parkade_workload_latency_target_seconds{percentile="95",workload="vision/signs"} 0.15',
        'parkade_pool_energy_price_dollars_per_kwh{pool="ca-home"} 0.31',
        'parkade_pool_carbon_intensity_grams_per_kwh{pool="ca-home"} 260.0',
        'parkade_model_files{state="Staged"} 2.0',
        'parkade_model_files{state="Failed"} 1.0',
        'parkade_model_files{state="Fetching"} 0.0',
        'parkade_cycles_total{outcome="failed"} 0.0',
    ):
        assert line in text
    assert "parkade_workload_expected_latency_seconds{" not in text, "the plan predicts none"


def test_a_replica_that_does_not_lead_tells_no_figures() -> None:
    metrics = Metrics()
    metrics.show_plan(PlanFigures(gap=0.01, cost=2.0, bound=1.98, solve_seconds=0.1, cost_parts={"energy": 2.0}))
    metrics.show_workloads([FIGURES])
    metrics.show_vehicles([("ca-home", "Here", 5)])
    metrics.rest()
    text = generate_latest(metrics.registry).decode()
    assert "vision/signs" not in text
    assert "ca-home" not in text
    gap = metrics.registry.get_sample_value("parkade_plan_gap")
    assert gap is not None
    assert math.isnan(gap)
