"""Observed times in the plan: what it counts on, says and orders."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import worlds
from changes.test_observations import KEY, PAUSE, report
from parkade.changes import Observations, folded, seeded, with_observed_times
from parkade.plan import Plan, plan_once
from parkade.problem.eligibility import profile_for, service_of
from parkade.settings import Economics
from parkade.snapshot import ObservedProfile, ObservedTime, ObservedWorkload, Snapshot
from parkade.solver import solve

POOL, SERVERS = worlds.cars(vehicles=40), worlds.servers()


def world(*times: ObservedTime, workload=None, **more) -> Snapshot:
    asked = workload or worlds.workload(**({"placement": {"tiers": ["Vehicle"], "minReplicas": 1}} | more))
    cell = worlds.cell(POOL, vehicles=40, column={"rttMillis": {"p50": 18, "p99": 40}})
    facts = worlds.snapshot([worlds.region(), POOL, SERVERS, asked, cell], servers=worlds.live([SERVERS]))
    return replace(facts, observed=(ObservedWorkload(KEY, times=tuple(sorted(times))),))


def cars(seconds: float, service: float, scv: float = 0.1) -> ObservedTime:
    return ObservedTime("", "hw4", seconds, scv, service, scv)


def triton(seconds: float, place: str = "austin-a100") -> ObservedTime:
    return ObservedTime(place, "", seconds, 0.2, seconds, 0.2)


def planned(facts: Snapshot) -> Plan:
    return plan_once(with_observed_times(facts, "Replace"), Economics(), solve)


def replicas(facts: Snapshot) -> int:
    return planned(facts).workload(KEY).replicas


def test_the_observed_time_is_what_is_planned_with_and_said() -> None:
    declared, observed = world(), world(cars(0.048, 0.029))
    assert "12ms there (measured)" in planned(declared).workload(KEY).placements[0].message
    assert "48ms (observed)" in planned(observed).workload(KEY).placements[0].message
    assert replicas(declared) < replicas(observed)
    assert with_observed_times(observed, "Ignore") == observed
    assert with_observed_times(declared, "Replace").workloads == declared.workloads


def test_a_replica_is_kept_for_the_way_too_and_latency_counts_it_once() -> None:
    """50 ms of which 19 are the way: as many replicas as 50 ms of work need, and hardly a later answer than 31 ms."""
    patient = {"latency": {"target": "1s"}}
    both, work = (world(cars(0.050, own), **patient) for own in (0.031, 0.050))
    assert replicas(both) == replicas(work)
    foreseen = [planned(facts).workload(KEY).expected.p99 for facts in (both, work)]
    assert foreseen[0] < foreseen[1] - 0.015


def test_hardware_without_a_profile_gets_one() -> None:
    bare = worlds.workload(model={"profiles": []}, placement={"minReplicas": 1})
    assert replicas(world(workload=bare)) == 0
    seen = with_observed_times(world(cars(0.02, 0.01), triton(0.004), workload=bare), "Replace")
    assert {str(profile.hardware) for profile in seen.workloads[0].spec.model.profiles} == {"hw4", "a100"}
    assert replicas(world(triton(0.004), workload=bare)) >= 1
    elsewhere = ObservedTime("", "unknown", 0.02, 0.1, 0.02, 0.1)
    assert replicas(world(elsewhere, triton(0.004, "gone"), workload=bare)) == 0


def test_triton_keeps_what_only_a_manifest_can_say() -> None:
    seen = with_observed_times(world(triton(0.008)), "Replace").workloads[0]
    profile = profile_for(seen, "a100")
    assert isinstance(profile, ObservedProfile)
    assert (profile.joules, profile.max_rate_per_server) == ("0.6", "1900")
    assert service_of(profile).busy == (0.008, 0.2)
    two = with_observed_times(world(triton(0.008)), "Replace")
    far = replace(two, triton_pools=(SERVERS, worlds.servers("far-a100")))
    far = replace(far, observed=(ObservedWorkload(KEY, times=(triton(0.008), triton(0.050, "far-a100"))),))
    work = service_of(profile_for(with_observed_times(far, "Replace").workloads[0], "a100"))
    assert (work.seconds, work.busy[0]) == (0.008, 0.050)


@settings(max_examples=20, deadline=None)
@given(seconds=st.floats(0.002, 0.1), slower=st.floats(1.0, 10.0), rate=st.sampled_from(("5", "60", "200")))
def test_slower_cars_are_never_fewer(seconds: float, slower: float, rate: str) -> None:
    demand = {"demand": [{"region": "us-ca", "rate": rate}], "latency": {"target": "5s", "timeout": "10s"}}
    quick, slow = (
        world(cars(float(f"{time:.4g}"), float(f"{time / 2:.4g}")), **demand) for time in (seconds, seconds * slower)
    )
    one, other = planned(quick).workload(KEY), planned(slow).workload(KEY)
    assert one.replicas <= other.replicas
    assert planned(quick) == planned(quick), "equal snapshots, equal plans"


@pytest.mark.parametrize(("declared", "real"), [("12ms", 0.048), ("48ms", 0.012)])
def test_a_wrong_profile_is_corrected_once_and_the_plan_stays(declared: str, real: float) -> None:
    """40 cycles of cars that take `real` for the work, 10 % more or less, and 19 ms for the way."""
    profiles = [{"hardware": "hw4", "serviceTime": declared, "scv": "0.1"}]
    target = {"target": "500ms"}
    facts = world(model={"profiles": profiles}, latency=target, placement={"tiers": ["Vehicle"], "minReplicas": 1})
    seen, counted, ordered = seeded(Observations(), facts, 0.0, Economics()), (0, 0.0, 0.0), []
    for turn in range(1, 41):
        took = [(real + 0.019) * (0.9 + 0.2 * ((turn * 7 + row * 13) % 101) / 100) for row in range(150)]
        counted = (
            counted[0] + len(took),
            counted[1] + sum(took),
            counted[2] + sum(t * t for t in took),
        )
        told = dict(zip(("count", "seconds", "squaredSeconds"), counted, strict=True))
        facts = replace(facts, observed=seen.facts())
        plan = planned(facts)
        ordered.append(plan.workload(KEY).replicas)
        facts = worlds.applied(facts, plan)
        seen = folded(
            seeded(seen, facts, turn * PAUSE, Economics()),
            [report(turn * PAUSE, 60 * turn * PAUSE, hardware={"hw4": told})],
            turn * PAUSE,
        )
    assert len(set(ordered[3:])) == 1, ordered
    assert ordered[0] < ordered[3] if real > 0.02 else ordered[0] > ordered[3], ordered
    needed = 60 * (real + 0.019)
    assert needed < ordered[-1] <= needed * 1.1 * 1.04 / 0.9 + 1.5, "what keeps a replica, rounded up, at 0.9"
