import pytest

import worlds
from parkade.problem.departures import shock
from parkade.problem.framing import Framed, frame
from parkade.problem.supply import cell_columns
from parkade.settings import Economics

FAR = {"p50": "38ms", "p99": "61ms"}


def framed(*objects, economics: Economics | None = None) -> Framed:
    return frame(worlds.snapshot(objects), economics or Economics(), offline=True)


def yields_of(found: Framed, cover: str) -> dict[str, float]:
    column = [want.id for want in found.workloads[0].wants].index(cover)
    return {arc.id.partition("@")[2]: arc.yields[column] for arc in found.problem.arcs}


def regions(count: int) -> list[object]:
    names = [f"r-{index}" for index in range(count)]
    return [worlds.region(name, latency=[{"to": other, **FAR} for other in names if other != name]) for name in names]


def test_a_replica_counts_for_less_where_cars_may_leave_together():
    heavy = worlds.workload(demand=[{"region": "us-ca", "rate": "3000"}])
    found = framed(worlds.region(), worlds.cars(), worlds.servers(), heavy)
    usual, after = yields_of(found, "rate/us-ca"), yields_of(found, "departures/us-ca")
    leaving = shock(0.066, 300.0 + 60.0, Economics())
    assert 0.03 < leaving < 0.1
    assert after["ca-home-hw4/WiFi/Charging/new"] == pytest.approx(
        usual["ca-home-hw4/WiFi/Charging/new"] * (1 - leaving)
    )
    # servers stay, and work at up to 90 % until other cars are warm
    assert usual["austin-a100/new"] <= after["austin-a100/new"] <= 1.25 * usual["austin-a100/new"]


@pytest.mark.parametrize(
    ("rate", "correlation", "expected"),
    # p itself if each leaves for itself; Vasicek's formula by hand: Phi((-2.4803 + 0.9772) / 0.9487)
    [(0.066, 0.0, 0.00658), (0.066, 0.1, 0.0566), (1.2, 0.1, 0.4063), (0.0, 0.1, 0.0)],
)
def test_the_share_that_leaves_at_once(rate, correlation, expected):
    economics = Economics(departure_correlation=correlation)
    assert shock(rate, 360.0, economics) == pytest.approx(expected, rel=0.02)


def test_what_cells_report_as_leaving_makes_the_shock():
    pool = worlds.cars()
    unknown, calm, rush = (
        frame(
            worlds.snapshot(
                [worlds.region(), pool, worlds.cell(pool, vehicles=200, column={"leaving": leaving}), worlds.workload()]
            ),
            Economics(),
        ).tables.shocks[0]
        for leaving in ([0, 0, 0], [0, 1, 4], [10, 30, 60])
    )
    assert unknown == pytest.approx(shock(0.066, 360.0, Economics()))
    assert 0.0 < calm < unknown
    assert 0.3 < rush < 1.0


def test_cars_of_more_than_three_regions_are_taken_to_leave_together():
    pools = [worlds.cars(f"cars-{index}", region=f"r-{index}") for index in range(4)]
    asked = worlds.workload(demand=[{"region": "r-0", "rate": "3000"}])
    three = framed(*regions(3), *pools[:3], asked)
    assert [w.id for w in three.workloads[0].wants if w.id.startswith("dep")] == [f"departures/r-{i}" for i in range(3)]
    four = framed(*regions(4), *pools, asked)
    assert [w.id for w in four.workloads[0].wants if w.id.startswith("dep")] == ["departures"]
    assert len(set(yields_of(four, "departures").values())) < len(set(yields_of(four, "rate/r-0").values())) + 1


def test_spread_looks_at_the_three_cheapest_regions():
    pools = [worlds.cars(f"cars-{i}", region=f"r-{i}", payout={"perComputeHour": f"0.{9 - i}"}) for i in range(5)]
    asked = worlds.workload(demand=[{"region": "r-0", "rate": "60"}], placement={"minReplicas": 1, "spread": 2})
    found = framed(*regions(5), *pools, asked)
    assert [w.id for w in found.workloads[0].wants if w.id.startswith("spread")] == [f"spread/r-{i}" for i in (2, 3, 4)]


def test_checked_answers_are_asked_of_triton_too():
    checked = worlds.workload(trust={"verifyPercent": 10})
    found = framed(worlds.region(), worlds.cars(), worlds.servers(), checked)
    wants = {want.id: want.quantity for want in found.workloads[0].wants}
    assert wants["rate/us-ca"] == pytest.approx(66.0)
    assert wants["verify"] == pytest.approx(6.0)
    assert yields_of(found, "verify")["ca-home-hw4/WiFi/Charging/new"] == 0.0
    assert yields_of(found, "verify")["austin-a100/new"] == pytest.approx(6.0)


def test_nothing_is_checked_without_servers_or_without_cars():
    checked = worlds.workload(trust={"verifyPercent": 10})
    for pool in (worlds.cars(), worlds.servers()):
        wants = {want.id: want.quantity for want in framed(worlds.region(), pool, checked).workloads[0].wants}
        assert wants["rate/us-ca"] == 60.0
        assert "verify" not in wants


def test_a_crowd_shares_servers_without_a_resource_for_each():
    few = framed(worlds.region(), worlds.servers(), *(worlds.workload(f"w{i}") for i in range(3)))
    assert sum(name.startswith("apart/") for name in few.problem.supplies[0].capacity) == 3
    many = framed(worlds.region(), worlds.servers(), *(worlds.workload(f"w{i:02d}") for i in range(20)))
    assert sorted(many.problem.supplies[0].capacity) == ["compute", "instances", "memory"]
    assert {arc.max for arc in many.problem.arcs if arc.id.endswith("/new")} == {2}


def test_more_cars_are_paid_for_where_cells_forecast_departures():
    """A workload that only cars may serve needs the more of them, the more of them may leave together."""
    pool = worlds.cars()
    asked = worlds.workload(demand=[{"region": "us-ca", "rate": "3000"}], placement={"tiers": ["Vehicle"]})
    counts, at_hand = [], []
    for leaving in ([0, 1, 4], [3, 10, 35]):
        cell = worlds.cell(pool, vehicles=200, column={"leaving": leaving})
        found = frame(worlds.snapshot([worlds.region(), pool, cell, asked]), Economics())
        after = next(yielded for arc, yielded in yields_of(found, "departures/us-ca").items() if arc.endswith("/new"))
        want = next(want for want in found.workloads[0].wants if want.id == "departures/us-ca")
        counts.append(want.quantity / after)
        at_hand.append(found.tables.shocks[0])
    assert at_hand[1] > 2 * at_hand[0]
    assert counts[1] == pytest.approx(counts[0] * (1 - at_hand[0]) / (1 - at_hand[1]), rel=0.1)


def test_small_cells_are_averaged_before_the_steepest_time_is_taken():
    pool = worlds.cars()

    def departures(*columns: list[int]) -> float:
        cells = [
            worlds.cell(pool, index, vehicles=100, column={"leaving": leaving}) for index, leaving in enumerate(columns)
        ]
        found = frame(worlds.snapshot([worlds.region(), pool, *cells, worlds.workload()]), Economics())
        return found.tables.places.places[0].departures_per_hour

    assert departures([1, 1, 6], [0, 1, 6]) == pytest.approx(0.06)
    assert departures([0, 1, 6], [0, 0, 0]) == pytest.approx((0.06 + 0.066) / 2)
    assert departures([10, 25, 50], [10, 25, 50]) == pytest.approx(1.2)


def test_a_closing_cell_offers_only_the_cars_that_hold_a_model():
    pool = worlds.cars()
    usual, closing = worlds.cell(pool, vehicles=10, free=7), worlds.cell(pool, 1, vehicles=10, free=7)
    closing = closing.model_copy(update={"spec": closing.spec.model_copy(update={"closing": True})})
    assert [(column.vehicles, column.held) for column in cell_columns(usual, pool)] == [(10, 3)]
    assert [(column.vehicles, column.held) for column in cell_columns(closing, pool)] == [(3, 3)]
