from datetime import timedelta

import pytest

import worlds
from parkade.api import Reason
from parkade.plan import plan_once
from parkade.problem.batch import items_per_second, value_of_waiting
from parkade.problem.framing import Framed, frame
from parkade.settings import Economics
from parkade.solver import solve

PRICES = {"series": {"configMap": "prices", "key": "ca.csv"}}


def batch(
    hours: float = 10, items: int = 3_600_000, tiers: tuple[str, ...] = ("Vehicle", "Datacenter"), **spec: object
):
    deadline = (worlds.NOW + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")
    work = {"items": items, "deadline": deadline, "source": "s3://clips/", "results": "s3://hits/"} | spec
    return worlds.workload(demand=None, latency=None, batch=work, placement={"tiers": list(tiers)})


def priced(*by_hour: float) -> tuple[tuple[str, str, str], ...]:
    lines = (f"{(worlds.NOW + timedelta(hours=hour)).isoformat()},{price}" for hour, price in enumerate(by_hour))
    return (("prices", "ca.csv", "\n".join(lines)),)


def framed(asked: object, **more: object) -> Framed:
    pools = [worlds.cars(energyPrice=PRICES, vehicles=40), worlds.servers()]
    return frame(worlds.snapshot([worlds.region(), *pools, asked], **more), Economics(), offline=True)


@pytest.mark.parametrize(
    ("spec", "rate"),
    [({}, 100.0), ({"maxRate": "30"}, 30.0), ({"hours": -2}, 1000.0), ({"hours": -2, "maxRate": "7"}, 7.0)],
)
def test_a_batch_goes_as_fast_as_its_deadline_asks(spec, rate):
    assert items_per_second(batch(**spec).spec.batch, worlds.NOW) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("costs", "capacity", "left", "value"),
    [
        ((5.0, 1.0, 3.0, 2.0), 10.0, 20.0, 2.0),
        ((5.0, 1.0, 3.0, 2.0), 10.0, 21.0, 3.0),
        ((5.0, 1.0, 3.0, 2.0), 10.0, 31.0, None),
        ((1.0, 5.0, 3.0, 2.0), 10.0, 5.0, None),
        ((2.0, 2.0), 10.0, 5.0, None),
        ((2.0, 1.0), 0.0, 5.0, None),
    ],
)
def test_items_are_poured_into_the_cheapest_hours(costs, capacity, left, value):
    assert value_of_waiting(costs, capacity, left) == value


def test_a_batch_is_one_cover_without_callers():
    found = framed(batch(), price_series=priced(0.3))
    assert [(want.id, want.quantity) for want in found.workloads[0].wants] == [("batch", 100.0)]
    # 12 ms an item, no slack for waiting; 5 minutes of a car that leaves after 15 hours are lost
    server = next(way for way in found.ways if found.places[way.place].tier == "Datacenter")
    assert server.rate == pytest.approx(500.0)
    car = next(way for way in found.ways if found.places[way.place].tier == "Vehicle")
    assert car.rate == pytest.approx(1 / 0.012 / (1 + 0.066 * 300 / 3600))


def test_what_is_in_the_car_already_takes_nothing_of_the_link_but_hits():
    paid = worlds.cars(links=[{"name": "WiFi", "perGB": "1.00"}])
    there, here = (
        frame(worlds.snapshot([worlds.region(), paid, asked]), Economics(), offline=True).ways[0].running.cost.network
        for asked in (batch(), batch(source="vehicle://clips"))
    )
    assert there == pytest.approx(21 * here)


def test_a_dear_hour_is_waited_out_and_a_cheap_one_is_used():
    at_home = batch(tiers=("Vehicle",))
    cheap_soon = framed(at_home, price_series=priced(0.9, *[0.1] * 9))
    cheap_now = framed(at_home, price_series=priced(0.1, *[0.9] * 9))
    for found, works in ((cheap_soon, False), (cheap_now, True)):
        assert (sum(solve(found.problem).replicas) > 0) is works


def test_near_the_deadline_every_hour_counts():
    late = framed(batch(hours=2, items=20_000_000, tiers=("Vehicle",)), price_series=priced(0.9, 0.1))
    assert sum(solve(late.problem).replicas) > 10


def test_a_plan_shows_the_batch_and_a_cluster_does_not_start_it():
    facts = worlds.snapshot([worlds.region(), worlds.cars(vehicles=40), batch()])
    part = plan_once(facts, Economics(), solve, offline=True).workload("vision/sign-reader")
    assert [placement.replicas for placement in part.placements] == [2]
    assert part.cost.energy > 0.0
    pool = worlds.cars()
    live = worlds.snapshot([worlds.region(), pool, worlds.cell(pool), batch()])
    left_out = plan_once(live, Economics(), solve).workload("vision/sign-reader").left_out
    assert left_out.reason is Reason.BATCH_NOT_SUPPORTED
