import pytest

import worlds
from parkade.plan import Plan, plan_once
from parkade.plan.explain import OPPORTUNITY, PAYOUT, PLUG, at_prices, break_evens, flip, leading_tier
from parkade.settings import Economics
from parkade.snapshot import Snapshot
from parkade.solver import solve

KEY = "vision/sign-reader"


def planner(facts: Snapshot) -> Plan:
    return plan_once(facts, Economics(), solve, offline=True)


def tier(facts: Snapshot) -> str:
    part = planner(facts).workload(KEY)
    assert part is not None
    return leading_tier(part)


@pytest.mark.parametrize(
    ("per_gb", "now", "then", "varied"),
    [
        ("0", "Vehicle", "Datacenter", "VehicleNodePool spec.payout.perComputeHour"),
        ("0.50", "Datacenter", "Vehicle", "TritonPool spec.opportunityCost.perServerHour"),
    ],
)
def test_the_price_found_is_where_the_plan_flips(per_gb, now, then, varied):
    pool = worlds.cars(links=[{"name": "WiFi", "perGB": per_gb}])
    facts = worlds.snapshot([worlds.region(), pool, worlds.servers(), worlds.workload()])
    found = flip(facts, planner, planner(facts), KEY)
    assert found is not None
    assert (found.tier, found.other, found.varied) == (now, then, varied)
    assert found.flips_at is not None
    raised = found.flips_at - found.price
    assert tier(at_prices(facts, found.varied, raised)) == then
    assert tier(at_prices(facts, found.varied, raised * 0.98)) == now
    assert f"{found.flips_at:.3f} $/h" in found.message


@pytest.mark.parametrize("per_gb", ["0", "0.50"])
def test_every_break_even_holds_within_two_percent_of_the_change(per_gb):
    pool = worlds.cars(links=[{"name": "WiFi", "perGB": per_gb}])
    facts = worlds.snapshot([worlds.region(), pool, worlds.servers(), worlds.workload()])
    now = tier(facts)
    found = break_evens(facts, planner, planner(facts), KEY)
    assert [entry.varied for entry in found] == [OPPORTUNITY, PAYOUT, PLUG]
    moving = [entry for entry in found if entry.flips_at is not None]
    assert moving
    for entry in moving:
        change = entry.flips_at - entry.price
        assert tier(at_prices(facts, entry.varied, change * 1.02)) == entry.other != now
        assert tier(at_prices(facts, entry.varied, change * 0.98)) == now
    for entry in found:
        if entry.flips_at is None:
            assert f"{now} wins even when {pool.key}" in entry.message
            assert tier(at_prices(facts, entry.varied, -entry.price)) == now


def test_two_cars_against_two_servers_break_even_where_the_arithmetic_says():
    facts = worlds.snapshot([worlds.region(), worlds.cars(), worlds.servers(), worlds.workload()])
    found = flip(facts, planner, planner(facts), KEY)
    assert found is not None
    # per replica: 0.85 $/h of a server (and 2 % risk, 1/60 warm-up, egress, energy) against 0.0776 of a car
    assert found.flips_at == pytest.approx(0.04 + 0.85 - 0.0776, rel=0.03)


def test_a_tier_that_is_not_allowed_never_wins_and_the_cause_is_said():
    only_cars = worlds.workload(placement={"tiers": ["Vehicle"]})
    facts = worlds.snapshot([worlds.region(), worlds.cars(), worlds.servers(), only_cars])
    found = flip(facts, planner, planner(facts), KEY)
    assert found is not None
    assert found.flips_at is None
    assert "placement.tiers leaves out Datacenter" in found.message


def test_nothing_to_explain_where_nothing_runs():
    facts = worlds.snapshot([worlds.region(), worlds.cars(), worlds.workload(suspend=True)])
    assert flip(facts, planner, planner(facts), KEY) is None
