from dataclasses import fields, replace
from random import Random

import numpy as np
import pytest

import worlds
from oracles import expansion as oracle
from parkade.problem import expansion
from parkade.problem.arcs import Rows, Tables
from parkade.problem.arrays import ProblemArrays
from parkade.problem.expansion import Arcs
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


def named(arcs: Arcs) -> dict[str, np.ndarray]:
    rows = {field.name: getattr(arcs.rows, field.name) for field in fields(Rows)}
    return rows | {field.name: getattr(arcs, field.name) for field in fields(Arcs) if field.name != "rows"}


def crowd() -> Framed:
    """Many workloads of all sizes with callers in two regions, and finite work."""
    random = Random(7)  # noqa: S311  # a seed
    names = ("us-ca", "us-tx", "us-ny")
    trips = [{"to": name, "p50": "30ms", "p99": "45ms"} for name in names[1:]]
    pools = [worlds.cars(name, region=name, vehicles=300, hardware={"name": "hw4", "memory": "8Gi", "slots": 3})
             for name in names]  # fmt: skip
    asked = [
        worlds.workload(
            f"w{index:02}",
            demand=[{"region": name, "rate": str(random.randint(1, 3000))} for name in random.sample(names, 2)],
            latency={"target": random.choice(["15ms", "60ms", "300ms"])},
            model={"memory": random.choice(["300Mi", "2Gi"])},
            placement={"minReplicas": random.randint(0, 3), "spread": random.randint(1, 3)},
            priority=random.randint(0, 99),
        )
        for index in range(70)
    ]
    work = {"items": 10**6, "deadline": "2026-01-01T09:00:00Z", "results": "s3://hits/"}
    asked += [
        worlds.workload(name, demand=None, latency=None, batch={"source": source} | work, placement={})
        for name, source in (("clips", "s3://clips/"), ("drives", "vehicle://drives"))
    ]
    servers = [worlds.servers(f"dc-{name}", count=5, region=name) for name in names]
    regions = [worlds.region(name, latency=trips if name == "us-ca" else []) for name in names]
    return frame(worlds.snapshot([*regions, *pools, *servers, *asked]), Economics(), offline=True)


def limited() -> Tables:
    return replace(world().tables, most_new={(0, 0): 3, (1, 1): 0, (3, 2): 1})


@pytest.mark.parametrize("make", [lambda: world().tables, limited, lambda: crowd().tables])
def test_the_kernels_arcs_are_those_of_numpy(make):
    found, expected = named(expansion.expand(make())), oracle.arcs(make())
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-12, atol=0.0, err_msg=name)


def test_threads_make_no_difference():
    tables = crowd().tables
    one, two = named(expansion.expand(tables, threads=1)), named(expansion.expand(tables, threads=3))
    for name, array in one.items():
        assert np.array_equal(array, two[name]), name


def test_large_problems_are_the_small_ones_in_single_precision(monkeypatch):
    tables = world().tables
    small = named(expansion.expand(tables))
    monkeypatch.setattr(expansion, "SMALL_PAIRS", 1)
    large = expansion.expand(tables)
    assert (large.small, large.cost.dtype) == (False, np.float32)
    for name, array in named(large).items():
        assert np.array_equal(array, small[name].astype(array.dtype)), name


def test_tables_of_another_type_are_refused():
    tables = world().tables
    with pytest.raises(ValueError, match=r"places\.car is no array of the type that arcs are made of"):
        expansion.expand(replace(tables, places=replace(tables.places, car=tables.places.units)))
    with pytest.raises(ValueError, match="of_usable has an entry below 0"):
        expansion.expand(replace(tables, of_usable=-1 - tables.of_usable))


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
