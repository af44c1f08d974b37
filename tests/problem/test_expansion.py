import numpy as np
import pytest

import worlds
from parkade.problem import expansion
from parkade.problem.arrays import ProblemArrays
from parkade.problem.framing import Framed, frame
from parkade.settings import Economics


def world() -> Framed:
    """Kept and new, late and in time, several groups of callers, every kind of cover."""
    near = worlds.region(latency=[{"to": "us-tx", "p50": "38ms", "p99": "61ms"}], gridZone="z")
    trips = [{"to": name, "p50": "300ms", "p99": "400ms"} for name in ("us-ca", "us-tx")]
    far = worlds.region("us-hi", latency=trips)
    home, away = worlds.cars(hardware={"name": "hw4", "memory": "8Gi", "slots": 2}), worlds.cars("tx", region="us-tx")
    held = [{"workload": "vision/a", "digest": worlds.digest("a"), "replicas": 2}]
    asked = [
        worlds.workload("a", placement={"minReplicas": 2, "spread": 2}, trust={"verifyPercent": 5}),
        worlds.workload("b", demand=[{"region": name, "rate": "90"} for name in ("us-ca", "us-hi", "us-tx")]),
        worlds.workload("c", demand=[{"region": "us-ca", "rate": "0"}]),
        worlds.workload("d", latency={"target": "5ms"}, model={"memory": "3Gi"}, placement={"minReplicas": 0}),
    ]
    servers = worlds.servers(count=3)
    facts = worlds.snapshot(
        [near, worlds.region("us-tx"), far, home, away, servers, *asked,
         worlds.cell(home, vehicles=40, free=38, assignments=held), worlds.cell(away, vehicles=9)],
        servers=worlds.live([servers]),
    )  # fmt: skip
    return frame(facts, Economics(zone_kilowatts={"z": 3.0}, uplink_megabits={"us-ca": 100.0}))


def test_what_is_laid_out_is_a_problem():
    found = world()
    arrays = ProblemArrays.from_mapping(found.arrays.to_mapping())
    kinds = {want.id.partition("/")[0] for entry in found.workloads for want in entry.wants}
    assert kinds == {"rate", "min-replicas", "apart", "spread", "departures", "verify"}
    order = arrays.arcs_demand.astype(np.int64) * len(found.places) + arrays.arcs_supply
    assert (np.diff(order) >= 0).all()
    assert list(arrays.limits_id) == ["churn", "power/z", "uplink/us-ca"]


@pytest.mark.parametrize("pairs", [1, 7])
def test_blocks_make_no_difference(monkeypatch, pairs):
    whole = world().arrays.to_mapping()
    monkeypatch.setattr(expansion, "BLOCK_PAIRS", pairs)
    for name, array in world().arrays.to_mapping().items():
        assert np.array_equal(array, whole[name]), name


def test_an_arc_in_names_has_the_numbers_of_the_problem():
    found = world()
    assert {(way.kept, way.late, way.apart) for way in found.ways} >= {
        (True, False, True), (False, True, True), (False, False, False),
    }  # fmt: skip
    for way, arc in zip(found.ways, found.problem.arcs, strict=True):
        assert (way.workload, way.place, way.max) == (arc.demand, arc.supply, arc.max)
        assert way.yields == arc.yields
        assert way.cost == pytest.approx(arc.cost)
        assert dict(way.use) == pytest.approx(arc.use)


def test_pairs_find_their_arcs():
    found = world()
    for pair, own in found.pairs.items():
        assert [(found.ways[index].workload, found.ways[index].place) for index in own] == [pair] * len(own)
    assert sum(len(own) for own in found.pairs.values()) == len(found.ways)
    assert found.pairs.get((0, 99), ()) == ()


def test_callers_that_nobody_answers_in_time_are_late_and_the_others_are_not():
    found = world()
    late = {entry.key: entry.late_callers for entry in found.workloads}
    assert late["vision/b"] == {"us-hi"}
    assert late["vision/d"] == {"us-ca"}
    asked = {want.id: want.quantity for want in found.workloads[1].wants if want.id.startswith("rate")}
    assert asked["rate/us-ca+us-hi+us-tx"] == 270.0
    assert {way.callers for way in found.ways if way.workload == 1 and way.late} >= {
        frozenset({"us-ca", "us-hi", "us-tx"})
    }
