"""From routers' times to those of a plan: enough of them, without the way to the car, and deaf to noise."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import worlds
from changes.test_observations import KEY, PAUSE, report
from parkade.changes import Observations, folded, seeded
from parkade.changes.durations import (
    ENOUGH,
    LEAST_SHARE,
    LONGEST,
    MOST_SCV,
    SHORTEST,
    STEP,
    renewed,
    round_trips,
    shown,
    told,
)
from parkade.settings import Economics
from parkade.snapshot import ObservedTime, Snapshot

CAR, HERE = ("", "hw4"), ("austin-a100", "")
POOL, SERVERS = worlds.cars(), worlds.servers()


def sums(count: float, mean: float, scv: float = 0.1) -> tuple[float, float, float]:
    return count, count * mean, count * mean * mean * (1.0 + scv)


def times(*rows: float) -> dict:
    return {"count": len(rows), "seconds": sum(rows), "squaredSeconds": sum(row * row for row in rows)}


def world(workload=None, **more) -> Snapshot:
    home = worlds.cell(POOL, assignments=[{"workload": KEY, "digest": worlds.digest("a"), "replicas": 2}], **more)
    return worlds.snapshot([worlds.region(), POOL, SERVERS, workload or worlds.workload(), home])


def used(seen: Observations) -> dict[tuple[str, str], ObservedTime]:
    return {(row.place, row.hardware): row for row in seen.facts()[0].times}


def test_few_answers_say_nothing_and_varying_ones_must_be_more() -> None:
    assert renewed(CAR, None, sums(ENOUGH - 1, 0.03), (0.0, 0.0)) is None
    assert renewed(CAR, None, sums(ENOUGH, 0.03), (0.0, 0.0)) is not None
    assert renewed(CAR, None, sums(ENOUGH, 0.03, scv=3.0), (0.0, 0.0)) is None
    assert renewed(CAR, None, sums(ENOUGH * 3 + 1, 0.03, scv=3.0), (0.0, 0.0)) is not None


@given(
    mean=st.floats(1e-7, 1e4),
    scv=st.floats(0.0, 100.0),
    count=st.floats(ENOUGH * MOST_SCV, 1e7),
    trip=st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 10.0)),
)
def test_whatever_routers_tell_times_are_bounded_and_no_shorter_than_the_mean(mean, scv, count, trip) -> None:
    found = renewed(CAR, None, sums(count, mean, scv), trip)
    assert found is not None
    bounded = min(max(mean, SHORTEST), LONGEST)
    assert bounded * 0.999 <= found.seconds <= bounded * STEP * 1.001
    assert LEAST_SHARE * bounded * 0.999 <= found.service_seconds <= found.seconds
    assert 0.0 <= found.scv <= MOST_SCV
    assert 0.0 <= found.service_scv <= MOST_SCV
    assert renewed(CAR, found, sums(count, mean, scv), trip) == found, "the same numbers change nothing"


@given(mean=st.floats(1e-4, 10.0), away=st.floats(0.93, 1.0), count=st.floats(ENOUGH, 1e6))
def test_a_mean_that_moves_a_little_changes_nothing(mean, away, count) -> None:
    """Wherever in the band it began."""
    first = renewed(CAR, None, sums(count, mean), (0.0, 0.0))
    assert first is not None
    for part in (1.0, away):
        assert renewed(CAR, first, sums(count, first.seconds * part), (0.0, 0.0)) == first


@given(mean=st.floats(1e-3, 10.0), times_slower=st.floats(1.5, 30.0))
def test_a_mean_that_moves_far_is_followed_both_ways(mean, times_slower) -> None:
    slow = renewed(CAR, None, sums(1000, min(mean * times_slower, LONGEST)), (0.0, 0.0))
    fast = renewed(CAR, slow, sums(1000, mean), (0.0, 0.0))
    assert fast is not None
    assert fast.seconds <= mean * STEP * 1.001
    again = renewed(CAR, fast, sums(1000, min(mean * times_slower, LONGEST)), (0.0, 0.0))
    assert again == slow


@pytest.mark.parametrize(("rate", "scv"), [(1.0, 0.1), (2.0, 1.0), (40.0, 1.0), (400.0, 3.0)])
def test_noise_of_half_an_hour_changes_hardly_anything(rate: float, scv: float) -> None:
    rng = np.random.default_rng(5)
    sigma = math.sqrt(math.log1p(scv))
    seen, every, found = Observations(), [], []
    totals = np.zeros(3)
    for turn in range(1, 361):
        took = rng.lognormal(math.log(0.03) - sigma * sigma / 2, sigma, rng.poisson(rate * PAUSE))
        totals += len(took), took.sum(), (took**2).sum()
        told_now = {"count": int(totals[0]), "seconds": totals[1], "squaredSeconds": totals[2]}
        seen = folded(seen, [report(turn * PAUSE, 0, hardware={"hw4": told_now})], turn * PAUSE)
        every.append(used(seen).get(CAR))
    found = [row for row in every if row is not None]
    changes = sum(one != other for one, other in itertools.pairwise(found))
    assert len(found) > 200
    assert changes <= 4
    assert all(0.03 * 0.8 < row.seconds < 0.03 * 1.35 for row in found[20:])


def test_old_answers_fade_and_a_slower_replica_is_noticed_within_minutes() -> None:
    def run(seen: Observations, turns: range, took: float, counts: np.ndarray) -> tuple[Observations, np.ndarray]:
        for turn in turns:
            counts = counts + np.array((100, 100 * took, 100 * took * took * 1.1))
            row = {"count": int(counts[0]), "seconds": counts[1], "squaredSeconds": counts[2]}
            seen = folded(seen, [report(turn * PAUSE, 0, hardware={"hw4": row})], turn * PAUSE)
        return seen, counts

    seen, counts = run(Observations(), range(1, 60), 0.012, np.zeros(3))
    assert used(seen)[CAR].seconds < 0.0135
    seen, _ = run(seen, range(60, 60 + 240), 0.048, counts)
    assert used(seen)[CAR].seconds > 0.043


def test_the_round_trip_is_taken_off_the_work_and_not_off_what_keeps_a_replica() -> None:
    facts = world(column={"rttMillis": {"p50": 18, "p99": 40}})
    seen = seeded(Observations(), facts, 0.0, Economics())
    told_now = {"hardware": {"hw4": times(*[0.050] * 200)}, "places": {"austin-a100": times(*[0.002] * 200)}}
    seen = folded(seen, [report(PAUSE, 0, **told_now)], PAUSE)
    car, server = used(seen)[CAR], used(seen)[HERE]
    assert 0.050 <= car.seconds <= 0.050 * STEP
    assert 0.0305 < car.service_seconds <= 0.031 * STEP, "50 ms less the 19 ms of a mean round trip"
    assert server.seconds == server.service_seconds, "what a router sees of Triton is what counts"


def test_trips_are_those_of_the_cars_that_serve() -> None:
    near = worlds.cell(POOL, 0, assignments=[{"workload": KEY, "digest": worlds.digest("a"), "replicas": 3}],
                       column={"rttMillis": {"p50": 10, "p99": 10}})  # fmt: skip
    far = worlds.cell(POOL, 1, assignments=[{"workload": KEY, "digest": worlds.digest("a"), "replicas": 1}],
                      column={"rttMillis": {"p50": 50, "p99": 50}})  # fmt: skip
    idle = worlds.cell(POOL, 2, column={"rttMillis": {"p50": 900, "p99": 900}})
    facts = worlds.snapshot([worlds.region(), POOL, worlds.workload(), near, far, idle])
    (found,) = round_trips(facts, Economics()).values()
    assert found == (pytest.approx(0.020), pytest.approx(0.75 * 0.01**2 + 0.25 * 0.05**2 - 0.02**2))
    unknown = round_trips(world(), Economics())
    assert unknown["vision/sign-reader", "hw4"][0] == pytest.approx(0.0206, abs=2e-4), "WiFi, as a plan assumes"


def test_a_new_leader_goes_on_with_the_same_times() -> None:
    facts = world()
    seen = seeded(Observations(), facts, 0.0, Economics())
    told_now = {"hardware": {"hw4": times(*[0.050, 0.09] * 200)}, "places": {"austin-a100": times(*[0.002] * 200)}}
    seen = folded(seen, [report(PAUSE, 0, **told_now)], PAUSE)
    rows = [row.model_dump(by_alias=True) for row in shown(seen.facts()[0].times, facts)]
    assert len(rows) == 2
    again = world(worlds.workload(status={"observed": {"times": rows}}))
    new = seeded(Observations(), again, 0.0, Economics())
    assert new.facts()[0].times == seen.facts()[0].times
    new = folded(new, [report(9000.0, 10, hardware={"hw4": times(*[0.05] * 9999)})], PAUSE)
    assert new.facts()[0].times == seen.facts()[0].times, "what a router counted before says nothing"


@settings(max_examples=60)
@given(st.fixed_dictionaries({name: st.text("0123456789.ems-u ", max_size=8) for name in
                              ("time", "scv", "serviceTime", "serviceScv", "hardware", "place")}))  # fmt: skip
def test_nonsense_in_a_status_is_left_out(row: dict) -> None:
    for found in told(worlds.workload(status={"observed": {"times": [row]}})).values():
        assert SHORTEST <= found.seconds <= LONGEST * STEP
        assert 0.0 < found.service_seconds <= found.seconds


def test_other_files_begin_anew_and_the_old_times_stay_until_then() -> None:
    facts = world()
    seen = seeded(Observations(), facts, 0.0, Economics())
    seen = folded(seen, [report(PAUSE, 0, hardware={"hw4": times(*[0.012] * 5000)})], PAUSE)
    before = used(seen)[CAR]
    other = {"artifacts": [{"source": "https://models.example/new.onnx", "sha256": worlds.digest("new")}]}
    seen = seeded(seen, world(worlds.workload(model=other)), 2 * PAUSE, Economics())
    assert used(seen)[CAR] == before
    seen = folded(seen, [report(2 * PAUSE, 0, hardware={"hw4": times(*[0.012] * 5000, *[0.048] * 150)})], 2 * PAUSE)
    assert used(seen)[CAR].seconds > 0.047, "150 answers of the new model, not 5,150 of both"


def test_hardware_that_no_pool_has_is_not_shown() -> None:
    row = ObservedTime("", "made-up", 0.01, 0.1, 0.01, 0.1)
    assert [it.hardware for it in shown((row, replace(row, hardware="hw4")), world())] == ["hw4"]
