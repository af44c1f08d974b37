from dataclasses import replace
from datetime import timedelta

import pytest

from changes.scene import (
    CELL,
    DIGEST,
    KEY,
    NOW,
    POOL,
    S1,
    S2,
    STAGED,
    VERSION,
    cell,
    compare,
    loaded,
    offers,
    on_cell,
    on_pool,
    part,
    plan,
    region,
    served,
    server,
    snapshot,
    to_cell,
    to_triton,
    triton_pool,
    vehicle_pool,
    workload,
)
from parkade.api import parse
from parkade.changes import Fronts, diff
from parkade.changes.poolstatus import grid_event_status, triton_pool_status, vehicle_pool_status
from parkade.changes.status import workload_status
from parkade.plan import Shortfall
from parkade.problem.reasons import Reason, Refusal
from parkade.snapshot import ObservedFigures, ObservedTime, ObservedWorkload, RouterAddress, StagedArtifact


def status(comparison, urls="Router"):
    return workload_status(comparison, comparison.workloads[KEY], urls)


def condition(comparison, kind):
    found = next(c for c in status(comparison).conditions if c.type == kind)
    return found.status, found.reason


def places(comparison):
    return [(p.place, p.replicas, p.share, [e.http for e in p.endpoints]) for p in status(comparison).placements]


LATER = {
    "demand": None, "latency": None,
    "batch": {"items": 9, "deadline": "2026-12-01T06:00:00Z", "source": "s3://clips/", "results": "s3://hits/"},
}  # fmt: skip
"""A spec of which this release does not act on every field."""

SERVED = {"cells": (cell(replicas=3, ready=3),)}


def test_cars_are_offered_as_soon_as_they_are_planned():
    assert places(to_cell(3)) == [(CELL, 3, 100, [])]


def test_each_place_tells_its_jurisdiction():
    def told(comparison):
        return {(p.place, p.region, p.jurisdiction) for p in status(comparison).placements}

    both = to_cell(3, servers=(server(S1, loaded()),), cells=(cell(replicas=3, ready=1),))
    assert told(both) == {(CELL, "us-ca", "US"), (POOL, "us-ca", "US")}
    lost = replace(both, snapshot=replace(both.snapshot, regions=()))
    assert told(lost) == {(CELL, "", ""), (POOL, "", "")}, "what the region was before does not count"


def test_a_place_that_is_held_tells_its_jurisdiction():
    held = to_cell(3, cells=(cell(replicas=3, ready=3),), workloads=(workload(status=offers(cells=(CELL,))),))
    held = replace(held, changed=frozenset({KEY}))
    assert [(p.place, p.jurisdiction) for p in status(held).placements] == [(CELL, "US")]


def test_only_servers_that_hold_the_model_ready_are_offered():
    loading = server(S2, loaded(ready=False))
    assert places(to_triton(S1, S2, servers=(server(S1, loaded()), loading))) == [(POOL, 1, 100, [S1])]
    assert places(to_triton(S1, S2)) == []


def test_the_old_place_is_offered_until_the_new_one_answers():
    waiting = to_cell(3, servers=(server(S1, loaded()),), cells=(cell(replicas=3, ready=1),))
    assert places(waiting) == [(CELL, 3, 100, []), (POOL, 1, 0, [S1])]
    assert places(to_cell(3, servers=(server(S1, loaded()),), **SERVED)) == [(CELL, 3, 100, [])]


def test_cars_stay_offered_until_triton_answers():
    assert places(to_triton(S1, **SERVED)) == [(CELL, 3, 100, [])]
    assert places(to_triton(S1, servers=(server(S1, loaded()),), **SERVED)) == [(POOL, 1, 100, [S1])]


def test_an_older_version_is_offered_until_the_new_one_answers():
    older = to_triton(S1, servers=(server(S1, loaded(version=VERSION + 1)),))
    assert places(older) == [(POOL, 1, 100, [S1])]


@pytest.mark.parametrize("gone", [{"deleted": NOW}, {"suspend": True}])
def test_nothing_is_offered_of_what_is_stopped(gone):
    stopped = to_triton(S1, servers=(server(S1, loaded()),), workloads=(workload(status=offers(S1), **gone),))
    assert places(stopped) == []
    assert condition(stopped, "Ready")[0] == "False"


def test_what_is_held_keeps_its_offers_but_for_servers_that_lost_the_model():
    left = part(left_out=Refusal(KEY, "", Reason.ARTIFACT_FAILED, "the digest differs"))
    seen = snapshot(workloads=(workload(status=offers(S1, S2)),), servers=(server(S1, loaded()), server(S2)))
    held = compare(seen, plan(left))
    assert places(held) == [(POOL, 1, 50, [S1])]
    assert condition(held, "Placed") == ("False", "ArtifactFailed")
    assert condition(held, "Ready") == ("True", "Ready")


def test_observe_shows_the_plan_and_leaves_the_offers():
    seen = to_cell(3, mode="Observe", workloads=(workload(status=offers(S1)),))
    assert [p[0] for p in places(seen)] == [POOL]
    assert condition(seen, "Placed") == ("False", "Observing")
    changes, due = diff(seen, Fronts("Router"))
    assert due is None
    assert {type(change).__name__ for change in changes.ordered()} == {"ShowStatus", "Announce"}


def test_ready_and_met():
    good = to_cell(3, **SERVED)
    kinds = ("Placed", "Ready", "SLOMet", "FieldsHonoured")
    assert [condition(good, kind)[0] for kind in kinds] == ["True"] * 4
    assert condition(good, "Placed")[1] == "CheapestPlace"
    assert status(good).replicas == 3


FAILED = replace(STAGED, state="Failed", reason="DigestMismatch", message="another digest; correct the manifest")
BAD_LOAD = server(S1, loaded(instances=0, ready=False, failure="bad graph"))


@pytest.mark.parametrize(
    ("comparison", "reason"),
    [
        (to_triton(S1, artifacts=(FAILED,)), "DigestMismatch"),
        (to_triton(S1, artifacts=(replace(STAGED, state="Fetching"),)), "Fetching"),
        (to_triton(S1), "Loading"),
        (to_triton(S1, servers=(BAD_LOAD,)), "ModelRejected"),
        (compare(snapshot(servers=(server(S1, live=False),)), plan(part(on_pool()))), "TritonUnavailable"),
        (to_cell(3, cells=(cell(replicas=3, ready=0),)), "WaitingForVehicles"),
        (to_cell(3, routers=(), **SERVED), "WaitingForRouter"),
        (compare(snapshot(), plan()), "NotPlannedYet"),
    ],
)
def test_what_keeps_a_workload_from_being_ready(comparison, reason):
    assert condition(comparison, "Ready")[1] == reason


def test_a_cars_own_reason_is_passed_on():
    waiting = cell(replicas=3, ready=1)
    row = waiting.status.assignments[0].model_copy(update={"ready": 0, "reason": "NotPluggedIn", "message": "plug in"})
    waiting = waiting.model_copy(update={"status": waiting.status.model_copy(update={"assignments": (row,)})})
    assert condition(to_cell(3, cells=(waiting,)), "Ready") == ("False", "NotPluggedIn")


def test_a_shortfall_is_told_with_its_sentence():
    short = Shortfall("rate/us-ca", 10.0, 4.0, Reason.NOT_ENOUGH_CAPACITY, "4 of 10 requests/s find no place")
    told = compare(snapshot(**SERVED), plan(part(on_cell(3), shortfalls=(short,))))
    assert condition(told, "Placed") == ("False", "NotEnoughCapacity")
    assert condition(told, "SLOMet") == ("False", "NotEnoughCapacity")


@pytest.mark.parametrize(
    ("nowhere", "reason"),
    [
        (part(left_out=Refusal(KEY, "", Reason.NO_PLACE, "no place may run it; apply a pool")), "NoPlace"),
        (part(left_out=Refusal(KEY, "", Reason.FETCHING, "wait")), "Fetching"),
        (part(), "NoPlace"),
    ],
)
def test_without_a_place_the_target_is_missed_for_that_reason(nowhere, reason):
    assert condition(compare(snapshot(), plan(nowhere)), "SLOMet") == ("False", reason)
    older = snapshot(workloads=(workload(status=offers(S1)),), servers=(server(S1, loaded()),))
    if nowhere.left_out is not None and reason == "Fetching":
        assert condition(compare(older, plan(nowhere)), "SLOMet") == ("Unknown", reason)


@pytest.mark.parametrize(("gone", "reason"), [({"deleted": NOW}, "BeingDeleted"), ({"suspend": True}, "Suspended")])
def test_nobody_knows_whether_a_stopped_workload_meets_its_target(gone, reason):
    assert condition(to_cell(3, workloads=(workload(**gone),)), "SLOMet") == ("Unknown", reason)


def test_a_late_place_misses_the_target():
    late = replace(on_cell(3), reason=Reason.LATE_BUT_SERVED, message="no place is nearer")
    assert condition(compare(snapshot(**SERVED), plan(part(late))), "SLOMet") == ("False", "LateButServed")


@pytest.mark.parametrize(
    ("world", "reason"),
    [({"triton_pools": ()}, "UnknownHardware"), ({"regions": (region("us-tx"),)}, "UnknownRegion")],
)
def test_names_that_nothing_carries_are_told(world, reason):
    assert condition(to_cell(3, **world), "FieldsHonoured") == ("False", reason)


def test_mistakes_and_fields_of_later_releases_are_told_together():
    both = to_cell(3, triton_pools=(), workloads=(workload(**LATER),))
    told = next(c for c in status(both).conditions if c.type == "FieldsHonoured")
    assert told.reason == "UnknownHardware"
    assert "a100" in told.message
    assert "spec.batch" in told.message


def test_fields_of_later_releases_are_named():
    batch = to_cell(3, workloads=(workload(**LATER),))
    assert condition(batch, "FieldsHonoured") == ("False", "FieldsNotHonoured")
    checked = to_cell(3, workloads=(workload(trust={"verifyPercent": 2, "tolerance": "0.01"}),))
    assert condition(checked, "FieldsHonoured")[0] == "True"


def test_a_status_that_is_true_is_not_written_again_and_times_stay():
    first = to_cell(3, **SERVED)
    shown = workload().model_copy(update={"status": status(first)})
    later = to_cell(3, now=NOW + timedelta(hours=1), workloads=(shown,), **SERVED)
    assert status(later) == shown.status
    assert [s.target.kind for s in diff(later, Fronts("Router"))[0].statuses].count("InferenceWorkload") == 0


def test_the_time_moves_only_with_the_status():
    shown = workload().model_copy(update={"status": status(to_cell(3, **SERVED))})
    hour = NOW + timedelta(hours=1)
    lost = status(to_cell(3, now=hour, workloads=(shown,)))
    times = {c.type: c.last_transition_time for c in lost.conditions}
    assert times["Ready"] == "2026-08-18T13:00:00Z"
    assert times["Placed"] == "2026-08-18T12:00:00Z"


def test_urls():
    assert status(to_cell(3)).url == "127.0.0.1:9000"
    assert status(to_cell(3), "Service").url == "sign-reader.vision.svc:8000"
    kept = workload(status={"url": "1.2.3.4:5"})
    assert status(to_cell(3, routers=(), workloads=(kept,))).url == "1.2.3.4:5"


def test_an_event_for_each_condition_that_changes():
    events = diff(to_cell(3, **SERVED), Fronts("Router"))[0].announcements
    said = {(event.level, event.reason) for event in events if event.target.kind == "InferenceWorkload"}
    assert said == {("Normal", "CheapestPlace"), ("Normal", "Ready"), ("Normal", "TargetMet")}
    shown = workload().model_copy(update={"status": status(to_cell(3, **SERVED))})
    again = diff(to_cell(3, workloads=(shown,)), Fronts("Router"))[0].announcements
    said = [(e.level, e.reason) for e in again if e.target.kind == "InferenceWorkload"]
    assert said == [("Warning", "WaitingForVehicles")]


def ready_of(found):
    return next((c.status, c.reason) for c in found.conditions if c.type == "Ready")


def test_a_vehicle_pool_counts_its_cars():
    two = (cell(registered=4), cell("ca-home-1", registered=5))
    found = vehicle_pool_status(snapshot(cells=two), vehicle_pool())
    assert (found.vehicles.registered, found.vehicles.eligible, found.cells) == (9, 9, 2)
    assert ready_of(found) == ("True", "Ready")
    assert ready_of(vehicle_pool_status(snapshot(), vehicle_pool())) == ("False", "NoVehicles")
    assert ready_of(vehicle_pool_status(snapshot(regions=()), vehicle_pool())) == ("False", "UnknownRegion")


@pytest.mark.parametrize(
    ("servers", "counts", "ready"),
    [
        ((server(S1, loaded()), server(S2)), (2, 2, 1), ("True", "Ready")),
        ((server(S1, loaded()), server(S2, live=False)), (2, 1, 1), ("True", "TritonUnavailable")),
        ((server(S1, live=False),), (1, 0, 0), ("False", "TritonUnavailable")),
        ((), (0, 0, 0), ("False", "NoServers")),
    ],
)
def test_a_triton_pool_tells_which_servers_answer(servers, counts, ready):
    found = triton_pool_status(snapshot(servers=servers), triton_pool())
    assert (found.servers, found.ready, found.models) == counts
    assert ready_of(found) == ready


def test_levers_of_a_grid_event_are_named():
    event = parse(
        {
            "apiVersion": "parkade.dev/v1alpha1",
            "kind": "GridEvent",
            "metadata": {"name": "e"},
            "spec": {
                "regions": ["us-ca"],
                "start": "2026-08-18T16:00:00Z",
                "end": "2026-08-18T17:00:00Z",
                "reduce": {"targetKW": 5},
                "levers": ["Battery"],
            },
        }
    )
    condition = grid_event_status(snapshot(), event).conditions[0]
    assert (condition.status, condition.reason) == ("False", "FieldsNotHonoured")
    assert "spec.levers" in condition.message


def test_a_fetch_that_a_car_needs_is_no_obstacle_for_a_server():
    car_file = StagedArtifact("cd" * 32, "https://models.example/car.onnx", "Failed", 0, "SourceUnavailable", "404")
    assert car_file.sha256 != DIGEST
    assert condition(to_triton(S1, artifacts=(STAGED, car_file)), "Ready")[1] == "Loading"


def test_two_routers_one_address():
    two = (RouterAddress("a", "10.0.0.8:80", "10.0.0.8:81", ""), RouterAddress("b", "10.0.0.9:80", "10.0.0.9:81", ""))
    assert status(to_cell(3, routers=two)).url == "10.0.0.8:80"


def test_served_model_versions_are_those_of_the_digest():
    assert served().version == VERSION


def test_a_price_series_that_says_nothing_is_told():
    manifest = vehicle_pool().manifest()
    manifest["spec"]["energyPrice"] = {"series": {"configMap": "prices", "key": "caiso.csv"}}
    pool = parse(manifest)
    told = {c.type: c for c in vehicle_pool_status(snapshot(), pool).conditions}["FieldsHonoured"]
    assert (told.status, told.reason) == ("False", "InvalidValues")
    assert "prices has no key caiso.csv" in told.message
    known = snapshot(price_series=(("prices", "caiso.csv", "2026-01-01T00:00:00Z,0.2"),))
    told = {c.type: c for c in vehicle_pool_status(known, pool).conditions}["FieldsHonoured"]
    assert told.status == "True"


def test_what_routers_observed_is_shown_and_stays_without_them():
    figures = ObservedFigures(rate=61.234, p50=0.0123, p99=1.0241, failed=0.00125)
    times = (
        ObservedTime("", "hw4", 0.05224, 0.4, 0.0317, 0.9),
        ObservedTime("", "no-such-hardware", 1.0, 1.0, 1.0, 1.0),
    )
    row = ObservedWorkload(KEY, (("us-ca", 66.0),), times, figures)
    told = status(to_cell(3, observed=(row,), **SERVED)).observed
    assert (told.rate, told.p50, told.p99, told.failed) == ("61.2", "12.3ms", "1020ms", "0.00125")
    assert [(entry.region, entry.rate) for entry in told.by_region] == [("us-ca", "66")]
    assert [(it.hardware, it.time, it.scv, it.service_time, it.service_scv) for it in told.times] == [
        ("hw4", "52.24ms", "0.4", "31.7ms", "0.9")
    ]
    before = workload(status={"observed": {"rate": "5"}})
    assert status(to_cell(3, workloads=(before,), cells=SERVED["cells"])).observed.rate == "5"


def test_a_workload_that_nobody_asks_rests():
    idle = compare(snapshot(workloads=(workload(demand=None, placement={"minReplicas": 0}),)), plan(part()))
    assert condition(idle, "Placed") == ("True", "NoDemand")
    assert condition(idle, "Ready") == ("False", "NoDemand")
    assert condition(idle, "SLOMet") == ("Unknown", "NoDemand")
