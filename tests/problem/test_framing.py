from dataclasses import replace

import pytest

import worlds
from parkade.api import Reason
from parkade.problem.framing import Framed, frame
from parkade.settings import Economics
from parkade.snapshot import LoadedModel, Rejection, StagedArtifact
from parkade.snapshot.versions import version_of


def framed(*objects, offline=True, **more) -> Framed:
    return frame(worlds.snapshot(objects, **more), Economics(), offline=offline)


def arc(found: Framed, ending: str):
    return next(arc for arc in found.problem.arcs if arc.id.endswith(ending))


def test_a_workload_becomes_covers_arcs_and_supplies():
    found = framed(worlds.region(), worlds.cars(), worlds.servers(), worlds.workload())
    covers = ["rate/us-ca", "min-replicas", "apart", "departures/us-ca"]
    assert [cover.id for cover in found.problem.demands[0].covers] == covers
    assert [supply.id for supply in found.problem.supplies] == ["austin-a100", "ca-home-hw4/WiFi/Charging"]
    assert found.problem.supplies[1].steps[0].cost == pytest.approx(0.0776, abs=1e-4)
    car = arc(found, "Charging/new")
    # 60/s at 12 ms need one car; the yield is saturated at the demand, and two are wanted by minReplicas
    assert car.yields == (60.0, 1.0, 1.0, 60.0)
    assert car.use == {"unit": 1.0}
    assert arc(found, "new/further").yields == (60.0, 1.0, 0.0, 60.0)


def test_a_byte_is_paid_both_ways_on_a_car_s_link():
    paid = worlds.cars(links=[{"name": "WiFi", "perGB": "0.10"}])
    found = framed(worlds.region(), paid, worlds.workload())
    way = found.ways[0]
    # half of 60/s to each of two replicas, 21 KiB there and back
    assert way.running.cost.network == pytest.approx(30 * 3600 * 21 * 1024 / 1e9 * 0.10)


def test_new_replicas_cost_their_move_and_kept_ones_do_not():
    pool = worlds.cars()
    assignment = {"workload": "vision/sign-reader", "digest": worlds.digest("sign-reader"), "replicas": 2}
    found = framed(
        worlds.region(), pool, worlds.cell(pool, free=2, assignments=[assignment]), worlds.workload(), offline=False
    )
    kept, new = arc(found, "/kept"), arc(found, "/new")
    assert kept.max == 2
    assert new.cost > kept.cost
    assert [limit.id for limit in found.problem.limits] == ["churn"]


def test_an_old_artifact_is_not_kept():
    pool = worlds.cars()
    old = worlds.cell(
        pool, free=2, assignments=[{"workload": "vision/sign-reader", "digest": worlds.digest("old"), "replicas": 2}]
    )
    found = framed(worlds.region(), pool, old, worlds.workload(), offline=False)
    assert not any(way.kept for way in found.ways)


def test_silent_cars_keep_what_they_hold():
    pool = worlds.cars()
    assignment = {"workload": "vision/sign-reader", "digest": worlds.digest("sign-reader"), "replicas": 3}
    cell = worlds.cell(pool, vehicles=2, free=0, assignments=[assignment], silent=1)
    found = framed(worlds.region(), pool, cell, worlds.workload(), offline=False)
    assert arc(found, "/kept").max == 3


def test_no_cell_is_no_supply_in_a_live_cluster():
    found = framed(worlds.region(), worlds.cars(), worlds.workload(), offline=False)
    assert [entry.reason for entry in found.left_out] == [Reason.NO_PLACE]
    assert "status.vehicles" in found.left_out[0].message


def test_a_cordoned_cell_offers_nothing():
    pool = worlds.cars()
    found = framed(
        worlds.region(), pool, worlds.cell(pool), worlds.workload(),
        offline=False, cordoned_cells=frozenset({"ca-home-hw4-0"}),
    )  # fmt: skip
    assert not found.places


def test_a_dead_server_offers_nothing():
    pool = worlds.servers()
    one, two = worlds.live([pool])
    found = framed(worlds.region(), pool, worlds.workload(), offline=False, servers=(one, replace(two, live=False)))
    assert found.problem.supplies[0].steps[0].count == 1


def test_loaded_models_are_kept_by_version():
    pool = worlds.servers()
    one, two = worlds.live([pool])
    loaded = LoadedModel("sign-reader", version_of(worlds.digest("sign-reader")), instances=2, ready=True)
    found = framed(
        worlds.region(), pool, worlds.workload(), offline=False, servers=(replace(one, models=(loaded,)), two)
    )
    assert [(way.apart, way.max) for way in found.ways if way.kept] == [(True, 1), (False, 1)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"suspend": True}, Reason.SUSPENDED),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, Reason.BEING_DELETED),
        ({"placement": {"jurisdictions": ["EU"]}}, Reason.NO_PLACE),
    ],
)  # fmt: skip
def test_left_out_with_its_reason(change, reason):
    found = framed(worlds.region(), worlds.cars(), worlds.servers(), worlds.workload(**change))
    assert [entry.reason for entry in found.left_out] == [reason]
    assert not found.problem.demands


def test_the_oldest_keeps_a_model_name():
    young = worlds.workload(namespace="a", metadata={"creationTimestamp": "2026-01-02T00:00:00Z"})
    old = worlds.workload(namespace="b", metadata={"creationTimestamp": "2026-01-01T00:00:00Z"})
    found = framed(worlds.region(), worlds.cars(), young, old)
    assert [(entry.workload, entry.reason) for entry in found.left_out] == [("a/sign-reader", Reason.MODEL_NAME_TAKEN)]
    assert [entry.key for entry in found.workloads] == ["b/sign-reader"]


def test_a_workload_that_is_being_deleted_keeps_no_model_name():
    gone = {"creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-03T00:00:00Z"}
    young = worlds.workload(namespace="a", metadata={"creationTimestamp": "2026-01-02T00:00:00Z"})
    found = framed(worlds.region(), worlds.cars(), young, worlds.workload(namespace="b", metadata=gone))
    assert [(entry.workload, entry.reason) for entry in found.left_out] == [("b/sign-reader", Reason.BEING_DELETED)]
    assert [entry.key for entry in found.workloads] == ["a/sign-reader"]


@pytest.mark.parametrize(
    ("change", "place", "reason"),
    [
        ({"placement": {"tiers": ["Vehicle"]}}, "austin-a100", Reason.TIER_NOT_ALLOWED),
        ({"trust": {"fleets": ["owners-tx"]}}, "ca-home-hw4/WiFi/Charging", Reason.FLEET_NOT_TRUSTED),
        ({"model": {"memory": "9Gi"}}, "ca-home-hw4/WiFi/Charging", Reason.MODEL_TOO_LARGE),
        (
            {"model": {"profiles": [{"hardware": "a100", "serviceTime": "2ms"}]}},
            "ca-home-hw4/WiFi/Charging",
            Reason.NO_PROFILE,
        ),
        ({"latency": {"target": "50ms"}}, "ca-home-hw4/WiFi/Charging", Reason.TOO_SLOW),
    ],
)  # fmt: skip
def test_a_place_is_refused_with_its_reason(change, place, reason):
    found = framed(worlds.region(), worlds.cars(), worlds.servers(), worlds.workload(**change))
    assert [(entry.place, entry.reason) for entry in found.refusals] == [(place, reason)]
    assert found.refusals[0].message


def test_a_failed_artifact_starts_nothing_new_and_stops_nothing_old():
    failed = StagedArtifact(worlds.digest("sign-reader"), "https://models.example/x", "Failed", message="404")
    nothing = framed(worlds.region(), worlds.cars(), worlds.workload(), artifacts=(failed,))
    assert [entry.reason for entry in nothing.left_out] == [Reason.ARTIFACT_FAILED]
    pool = worlds.cars()
    assignment = {"workload": "vision/sign-reader", "digest": worlds.digest("sign-reader"), "replicas": 2}
    held = worlds.cell(pool, free=2, assignments=[assignment], ready={"vision/sign-reader": 1})
    running = framed(worlds.region(), pool, held, worlds.workload(), offline=False, artifacts=(failed,))
    assert [way.kept for way in running.ways] == [True]


def test_an_order_for_a_file_that_cannot_be_had_keeps_no_car_that_never_held_it():
    pool = worlds.cars()
    assignment = {"workload": "vision/sign-reader", "digest": worlds.digest("sign-reader"), "replicas": 2}
    ordered = worlds.cell(pool, free=2, assignments=[assignment])
    failed = worlds.staged([worlds.workload()], "Failed", reason="DigestMismatch", message="another sha256")
    found = framed(worlds.region(), pool, ordered, worlds.workload(), offline=False, artifacts=failed)
    assert [(entry.reason, entry.message) for entry in found.left_out] == [(Reason.DIGEST_MISMATCH, "another sha256")]
    assert found.held == {"vision/sign-reader": frozenset({worlds.digest("sign-reader")})}


@pytest.mark.parametrize("artifacts", [(), worlds.staged([worlds.workload()], "Fetching")])
def test_a_file_that_is_not_in_the_store_is_awaited(artifacts):
    pool = worlds.cars()
    objects = (worlds.region(), pool, worlds.cell(pool), worlds.workload())
    found = framed(*objects, offline=False, artifacts=artifacts)
    assert [entry.reason for entry in found.left_out] == [Reason.FETCHING]
    assert found.awaited == (("vision/sign-reader", worlds.digest("sign-reader")),)
    seen = framed(*objects, offline=False, artifacts=(), mode="Observe")
    assert len(seen.workloads) == 1, "who only observes fetches nothing, and still plans"


def test_a_rejected_model_is_planned_elsewhere_and_tried_again_with_free_cars_only():
    pool, triton = worlds.cars(), worlds.servers()
    objects = (worlds.region(), pool, worlds.cell(pool, vehicles=4, free=1), triton, worlds.workload())
    said = Rejection("vision/sign-reader", worlds.digest("sign-reader"), pool.key, "bad graph", worlds.NOW)

    def offered(rejection):
        found = framed(*objects, offline=False, servers=worlds.live([triton]), rejections=(rejection,))
        return {found.places[way.place].pool: way.max for way in found.ways if way.apart}, found.refusals

    ways, refusals = offered(said)
    assert ways == {triton.key: 2}
    assert [(entry.reason, "bad graph" in entry.message) for entry in refusals] == [(Reason.MODEL_REJECTED, True)]
    assert offered(replace(said, trial=True)) == ({triton.key: 2, pool.key: 1}, ())


def test_late_callers_get_late_arcs_with_a_penalty():
    found = framed(worlds.region(), worlds.cars(), worlds.workload(latency={"target": "20ms"}))
    assert [way.late for way in found.ways] == [True]
    short = found.problem.demands[0].covers[0].short_cost
    assert 0.0 < found.ways[0].penalty / found.ways[0].rate < short


def test_spread_asks_each_region_for_what_the_others_carry():
    found = framed(
        worlds.region(), worlds.region("us-tx", latency=[{"to": "us-ca", "p50": "38ms", "p99": "61ms"}]),
        worlds.cars(), worlds.servers(region="us-tx"),
        worlds.workload(placement={"minReplicas": 2, "spread": 2}),
    )  # fmt: skip
    covers = {cover.id: cover for cover in found.problem.demands[0].covers}
    assert covers["spread/us-ca"].quantity == covers["spread/us-tx"].quantity == 30.0
    column = list(covers).index("spread/us-ca")
    assert {arc.yields[column] for arc in found.problem.arcs if arc.supply == 1} == {0.0}


def test_callers_with_different_places_get_covers_of_their_own():
    far = worlds.region("us-tx", latency=[{"to": "us-ca", "p50": "150ms", "p99": "190ms"}])
    found = framed(
        worlds.region(), far, worlds.cars(), worlds.servers(region="us-tx"),
        worlds.workload(demand=[{"region": "us-ca", "rate": "60"}, {"region": "us-tx", "rate": "40"}]),
    )  # fmt: skip
    rates = {cover.id: cover.quantity for cover in found.problem.demands[0].covers if cover.id.startswith("rate")}
    assert rates == {"rate/us-ca": 60.0, "rate/us-tx": 40.0, "rate/us-ca+us-tx": 100.0}


def test_equal_snapshots_give_byte_equal_problems():
    objects = [worlds.region(), worlds.cars(), worlds.servers(), worlds.workload(), worlds.workload("other")]
    assert framed(*objects).problem.to_json() == framed(*reversed(objects)).problem.to_json()


def test_many_observed_links_are_few_classes_and_none_is_called_faster_than_it_is():
    pools = [worlds.cars(f"cars-{index:02d}") for index in range(60)]
    cells = [
        worlds.cell(
            pool, column={"rttMillis": {"p50": 15 + index, "p99": 60 + 3 * index}, "leaving": [0, 1, index % 20]}
        )
        for index, pool in enumerate(pools)
    ]
    found = framed(worlds.region(), *pools, *cells, worlds.workload(), offline=False).tables.places
    assert len(found.places) == 60
    assert len(found.classes) <= 16
    for place, at in zip(found.places, found.of_class, strict=True):
        counted = found.classes[at]
        assert counted.departures_per_hour >= place.departures_per_hour
        assert all(mine <= other for own, leg in zip(place.legs, counted.legs, strict=True)
                   for mine, other in zip(own, leg, strict=True))  # fmt: skip
