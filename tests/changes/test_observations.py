"""From routers' counts to planned demand: rising soon, falling late, and deaf to noise."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

import worlds
from parkade.changes import Observations, folded, seeded, with_observed_demand
from parkade.changes.durations import STEP
from parkade.changes.observations import FLOOR_RATE, KEEP_SECONDS
from parkade.plan import plan_once
from parkade.settings import Economics
from parkade.snapshot import ObservedWorkload, RouterReport
from parkade.solver import solve

KEY = "vision/sign-reader"
PAUSE = 5.0


def report(seconds: float, requests: float, router: str = "r", region: str = "us-ca", **more) -> RouterReport:
    counts = {"regions": {region: int(requests)}} | more
    return RouterReport.model_validate({"router": router, "seconds": seconds, "workloads": {KEY: counts}})


def run(rates: list[float], seen: Observations | None = None, **more) -> list[float]:
    """Planned requests/s after each reading of one router that gets these rates."""
    seen, count, planned = seen or Observations(), 0.0, []
    for turn, rate in enumerate(rates, start=1):
        count += rate * PAUSE
        seen = folded(seen, [report(turn * PAUSE, count, **more)], turn * PAUSE)
        planned.append(sum(rate for _, rate in seen.facts()[0].demand) if seen.facts() else 0.0)
    return planned


def test_a_steady_rate_is_planned_and_never_less() -> None:
    planned = run([60.0] * 50)
    assert len(set(planned)) == 1
    assert 60.0 <= planned[0] <= 60.0 * STEP


@pytest.mark.parametrize("rate", [0.2, 5.0, 300.0])
def test_noise_makes_few_other_plans(rate: float) -> None:
    arrivals = [count / PAUSE for count in np.random.default_rng(7).poisson(rate * PAUSE, 360)]
    planned = run(arrivals)[60:]
    changes = sum(one != other for one, other in itertools.pairwise(planned))
    assert changes <= 12, "in 25 minutes"
    assert rate / 2 <= min(planned)
    assert max(planned) <= rate * 3, "what rises soon and falls late is above the mean where few ask"


def test_it_rises_within_a_minute_and_falls_within_minutes() -> None:
    planned = run([10.0] * 20 + [100.0] * 20 + [10.0] * 240)
    assert planned[20 + 12] > 80.0
    assert planned[40 + 6] > 80.0, "half a minute is no reason to unload"
    assert planned[-1] < 20.0


def test_the_floor_stays_for_an_hour_after_the_last_request() -> None:
    hour = int(KEEP_SECONDS / PAUSE)
    planned = run([20.0] * 12 + [0.0] * (hour + 10))
    assert planned[12 + hour - 2] == FLOOR_RATE
    assert planned[-1] == 0.0


def test_a_request_that_waits_counts_though_it_came_before_the_first_reading() -> None:
    old = report(9999.0, 1, waiting=1)
    assert folded(Observations(), [old], 0.0).facts()[0].demand == (("us-ca", pytest.approx(FLOOR_RATE, rel=0.1)),)
    idle = report(9999.0, 1)
    assert folded(Observations(), [idle], 0.0).facts()[0].demand == ()


def test_routers_add_up_and_one_that_starts_anew_is_no_fall() -> None:
    seen = folded(Observations(), [report(5.0, 50, "a"), report(5.0, 100, "b")], 5.0)
    assert sum(rate for _, rate in seen.facts()[0].demand) == pytest.approx(30.0, rel=0.11)
    seen = folded(seen, [report(10.0, 100, "a"), report(2.0, 40, "b")], 10.0)
    assert sum(rate for _, rate in seen.facts()[0].demand) == pytest.approx(30.0, rel=0.11)


def test_a_new_leader_goes_on_from_the_status() -> None:
    known = worlds.workload(demand=None, status={"observed": {"byRegion": [{"region": "us-ca", "rate": "44"}]}})
    seen = seeded(Observations(), worlds.snapshot([known]), 100.0, Economics())
    assert seen.facts()[0].demand == (("us-ca", 44.0),)
    seen = folded(seen, [report(9000.0, 123456)], 105.0)
    assert seen.facts()[0].demand == (("us-ca", 44.0),), "the first counts say nothing of a rate"
    assert seeded(seen, worlds.snapshot([]), 110.0, Economics()).facts() == ()
    odd = worlds.workload(status={"observed": {"byRegion": [{"region": "us-ca", "rate": "a lot"}]}})
    assert seeded(Observations(), worlds.snapshot([odd]), 0.0, Economics()).facts()[0].demand == ()


def test_figures_are_shown_and_change_only_when_they_differ() -> None:
    answered = [[0.01, 900], [0.02, 90], [0.5, 10]]
    first = report(10.0, 1000, answered=answered, outcomes={"answered": 1000, "failed": 10})
    seen = folded(Observations(), [first], 10.0)
    figures = seen.facts()[0].figures
    assert figures is not None
    assert (figures.rate, figures.p50, figures.p99) == (100.0, 0.01, 0.02)
    assert figures.failed == pytest.approx(0.0099, abs=1e-4)
    more = [[bound, count * 3 // 2] for bound, count in answered]
    again = report(15.0, 1500, answered=more, outcomes={"answered": 1500, "failed": 15})
    assert folded(seen, [again], 15.0).facts()[0].figures == figures


# into the plan


POOLS = (worlds.region(), worlds.cars(), worlds.servers())


def asking(workload, *demand: tuple[str, float]):
    facts = worlds.snapshot([*POOLS, workload, worlds.cell(POOLS[1])], servers=worlds.live([POOLS[2]]))
    return replace(facts, observed=(ObservedWorkload(KEY, demand),))


def rates(facts) -> dict[str, float]:
    return {str(row.region): row.rate.value for row in facts.workloads[0].spec.demand or ()}


def test_a_workload_without_demand_is_planned_from_what_is_observed() -> None:
    silent = worlds.workload(demand=None, placement={"minReplicas": 0})
    idle, busy = (with_observed_demand(facts, "Missing") for facts in (asking(silent), asking(silent, ("us-ca", 50.0))))
    assert (rates(idle), rates(busy)) == ({}, {"us-ca": 50.0})
    plans = [plan_once(facts, Economics(), solve).workload(KEY) for facts in (idle, busy, busy)]
    assert (plans[0].replicas, plans[0].shortfalls) == (0, ())
    assert plans[1].replicas >= 1
    assert plans[1] == plans[2]


def test_what_a_manifest_says_counts_unless_the_setting_says_otherwise() -> None:
    said = worlds.workload(demand=[{"region": "us-ca", "rate": "60"}])
    facts = asking(said, ("us-ca", 90.0))
    assert rates(with_observed_demand(facts, "Missing")) == {"us-ca": 60.0}
    assert rates(with_observed_demand(facts, "Larger")) == {"us-ca": 90.0}
    assert rates(with_observed_demand(asking(said, ("us-ca", 30.0)), "Larger")) == {"us-ca": 60.0}


def test_callers_in_no_region_count_where_the_first_pool_is() -> None:
    silent = worlds.workload(demand=None)
    facts = asking(silent, ("", 5.0), ("atlantis", 2.0), ("us-ca", 1.0))
    assert rates(with_observed_demand(facts, "Missing")) == {"us-ca": 8.0}
