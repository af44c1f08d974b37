from datetime import timedelta

import pytest

from changes.scene import (
    CELL,
    KEY,
    NOW,
    POOL,
    S1,
    S2,
    VERSION,
    cell,
    compare,
    loaded,
    part,
    plan,
    server,
    snapshot,
    to_cell,
    to_triton,
    triton_pool,
    workload,
)
from parkade.changes import FINALIZER
from parkade.changes.claims import claims, releases, removals
from parkade.changes.lasting import lasting
from parkade.problem.reasons import Reason, Refusal
from parkade.snapshot import PodFace, StoredModel

JUST_NOW, MINUTES_AGO = NOW - timedelta(seconds=5), NOW - timedelta(minutes=5)
FILES = StoredModel(POOL, "sign-reader", (1, 2))
POD = PodFace("vision", "p", KEY, CELL, terminating=False)


def bare(pool):
    return pool.model_copy(update={"metadata": pool.metadata.model_copy(update={"finalizers": ()})})


def leaving(pool, when=JUST_NOW):
    meta = pool.metadata.model_copy(update={"deletion_timestamp": when.isoformat()})
    return pool.model_copy(update={"metadata": meta})


def deleted(when=JUST_NOW, **facts):
    left = part(left_out=Refusal(KEY, "", Reason.BEING_DELETED, "it is being deleted"))
    return compare(snapshot(workloads=(workload(deleted=when),), **facts), plan(left))


def test_workload_and_pool_are_claimed_before_use():
    comparison = to_triton(S1, workloads=(workload(claimed=False),), triton_pools=(bare(triton_pool()),))
    assert [(s.target.kind, s.finalizers) for s in claims(comparison)] == [
        ("InferenceWorkload", (FINALIZER,)),
        ("TritonPool", (FINALIZER,)),
    ]


def test_what_is_claimed_or_not_used_is_not_claimed():
    assert claims(to_triton(S1)) == ()
    assert claims(to_cell(3, triton_pools=(bare(triton_pool()),))) == ()


def test_what_is_not_planned_is_not_claimed():
    left = part(left_out=Refusal(KEY, "", Reason.MODEL_NAME_TAKEN, "taken"))
    assert claims(compare(snapshot(workloads=(workload(claimed=False),)), plan(left))) == ()


@pytest.mark.parametrize(
    "left",
    [
        {"cells": (cell(replicas=2),)},
        {"pods": (POD,)},
        {"servers": (server(S1, loaded()),)},
        {"servers": (server(S1, loaded(ready=False)),)},
        {"stored": (FILES,)},
        {"stored": None},
        {"servers": (server(S1, live=False),)},
    ],
    ids=["order", "pod", "model", "draining model", "files", "silent repository", "silent server"],
)
def test_a_workload_stays_while_something_of_it_is_left(left):
    assert releases(deleted(**left)) == ()


def test_a_workload_goes_when_nothing_is_left():
    assert [(s.target.key, s.finalizers) for s in releases(deleted())] == [(KEY, ())]


@pytest.mark.parametrize("silent", [{"stored": None}, {"servers": (server(S1, live=False),)}])
def test_a_deletion_does_not_wait_for_ever(silent):
    assert len(releases(deleted(when=MINUTES_AGO, **silent))) == 1


def test_a_live_server_that_holds_the_model_is_waited_for():
    assert releases(deleted(when=MINUTES_AGO, servers=(server(S1, loaded()),))) == ()


def test_a_failed_load_is_nothing_left():
    failed = loaded(instances=0, ready=False, failure="bad graph")
    assert len(releases(deleted(servers=(server(S1, failed),)))) == 1


def test_files_go_after_the_last_server_let_go():
    assert removals(deleted(stored=(FILES,), servers=(server(S1), server(S2, loaded())))) == ()
    steps = removals(deleted(stored=(FILES, StoredModel(POOL, "somebody-elses", (1,)))))
    assert [(s.pool, s.model, s.versions) for s in steps] == [(POOL, "sign-reader", (1, 2))]


def test_files_of_a_workload_that_stays_are_kept():
    assert removals(to_triton(S1, stored=(FILES,))) == ()


OLD, GONE = VERSION + 1, VERSION + 2
THREE = StoredModel(POOL, "sign-reader", (VERSION, OLD, GONE))


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ((server(S1, loaded()), server(S2)), (OLD, GONE)),
        ((server(S1, loaded(), loaded(version=OLD, ready=False)), server(S2)), (GONE,)),
        ((server(S1, loaded()), server(S2, loaded(version=GONE))), (OLD,)),
        ((server(S1, loaded(), loaded("other", version=OLD)), server(S2)), (OLD, GONE)),
        ((server(S1, loaded(version=OLD)), server(S2)), ()),
        ((server(S1, loaded()), server(S2, live=False)), ()),
    ],
    ids=["nobody holds", "one drains", "another server holds", "another model", "still to load", "a silent server"],
)
def test_versions_that_nobody_holds_or_shall_hold_are_removed(servers, expected):
    steps = removals(to_triton(S1, stored=(THREE,), servers=servers))
    assert tuple(version for step in steps for version in step.versions) == expected


def test_a_workload_that_moved_to_cars_leaves_no_files_on_triton():
    assert [step.versions for step in removals(to_cell(3, stored=(THREE,)))] == [THREE.versions]


def test_files_of_what_is_held_stay():
    left = part(left_out=Refusal(KEY, "", Reason.FETCHING, "wait"))
    assert removals(compare(snapshot(stored=(THREE,)), plan(left))) == ()


def test_a_deleted_pool_goes_after_its_models_and_files():
    pools = (leaving(triton_pool()),)
    holding = to_cell(3, triton_pools=pools, servers=(server(S1, loaded()),), stored=(FILES,))
    assert (removals(holding), releases(holding)) == ((), ())
    emptied = to_cell(3, triton_pools=pools, stored=(FILES,))
    assert [s.model for s in removals(emptied)] == ["sign-reader"]
    assert releases(emptied) == ()
    assert [s.target.kind for s in releases(to_cell(3, triton_pools=pools))] == ["TritonPool"]


def test_a_namesakes_model_keeps_nobody():
    twin = workload("vision/twin", deleted=JUST_NOW)
    taken = part(key="vision/twin", left_out=Refusal("vision/twin", "", Reason.MODEL_NAME_TAKEN, "taken"))
    seen = snapshot(workloads=(workload(), twin), servers=(server(S1, loaded()),), stored=(FILES,))
    assert [s.target.key for s in releases(compare(seen, plan(part(), taken)))] == ["vision/twin"]


def test_plans_do_not_count_on_pools_that_are_being_deleted():
    seen = lasting(snapshot(triton_pools=(leaving(triton_pool()),)))
    assert (seen.triton_pools, seen.servers) == ((), ())
    assert lasting(snapshot()) == snapshot()
