from dataclasses import replace
from datetime import timedelta

import pytest

from changes.scene import (
    CELL,
    DIGEST,
    KEY,
    LONG_AGO,
    NOW,
    POOL,
    S1,
    S2,
    VERSION,
    assigned,
    cell,
    compare,
    loaded,
    offers,
    on_cell,
    part,
    plan,
    served,
    server,
    snapshot,
    to_cell,
    to_triton,
    triton_pool,
    workload,
)
from parkade.changes.servers import server_steps
from parkade.problem.reasons import Reason, Refusal
from parkade.snapshot import StagedArtifact

OTHER = "vision/other"


def loads(comparison):
    return [(step.http, step.model.model, step.model.instances) for step in server_steps(comparison).loads]


def unloads(comparison):
    return [(step.http, step.model) for step in server_steps(comparison).unloads]


def test_what_the_plan_wants_and_no_server_holds_is_loaded():
    assert loads(to_triton(S1, S2)) == [(S1, "sign-reader", 1), (S2, "sign-reader", 1)]


def test_what_is_held_already_is_left_alone():
    steps = server_steps(to_triton(S1, servers=(server(S1, loaded()), server(S2))))
    assert (steps.loads, steps.unloads) == ((), ())


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (loaded(instances=2), []),
        (loaded(instances=1), [(S1, "sign-reader", 2)]),
        (loaded(instances=2, version=VERSION + 1), [(S1, "sign-reader", 2)]),
        (loaded(instances=0, ready=False, failure="bad graph"), [(S1, "sign-reader", 2)]),
        (loaded(instances=5), [(S1, "sign-reader", 2)]),
    ],
    ids=["as wanted", "fewer", "other version", "failed", "more"],
)
def test_instances_and_version_are_brought_to_the_plan(held, expected):
    assert loads(to_triton(S1, instances=2, servers=(server(S1, held),))) == expected


def test_nothing_is_loaded_before_the_workload_is_claimed():
    assert loads(to_triton(S1, workloads=(workload(claimed=False),))) == []


def test_a_missing_file_is_staged_first():
    steps = server_steps(to_triton(S1, artifacts=()))
    assert steps.loads == ()
    assert [(step.workload, step.source) for step in steps.stages] == [(KEY, "https://models.example/m.onnx")]


def test_a_file_under_way_is_neither_staged_again_nor_loaded():
    fetching = StagedArtifact("ab" * 32, "https://models.example/m.onnx", "Fetching")
    steps = server_steps(to_triton(S1, artifacts=(fetching,)))
    assert (steps.loads, steps.stages) == ((), ())


def test_cars_need_the_file_too():
    assert [s.sha256 for s in server_steps(to_cell(3, artifacts=())).stages] == ["ab" * 32]


def test_a_server_loads_one_model_at_a_time():
    both = plan(part(), part(key=OTHER, model="other"), servers={S1: (served(), served(OTHER, "other"))})
    seen = snapshot(workloads=(workload(OTHER, model="other"), workload()))
    assert len(loads(compare(seen, both))) == 1


def test_a_model_that_failed_waits_behind_one_that_did_not():
    both = plan(part(), part(key=OTHER, model="other"), servers={S1: (served(), served(OTHER, "other"))})
    bad = server(S1, loaded("other", 0, ready=False, failure="bad graph"))
    seen = snapshot(workloads=(workload(OTHER, model="other"), workload()), servers=(bad,))
    assert loads(compare(seen, both)) == [(S1, "sign-reader", 1)]


def moving_to_cell(ready, **facts):
    """The plan moves everything from server 1 to the cell, of which `ready` of 3 cars answer."""
    return to_cell(3, servers=(server(S1, loaded()),), cells=(cell(replicas=3, ready=ready),), **facts)


def test_the_old_place_stays_until_the_new_one_answers():
    assert unloads(moving_to_cell(ready=2)) == []


def test_the_old_place_goes_when_the_new_one_answers():
    assert unloads(moving_to_cell(ready=3)) == [(S1, "sign-reader")]


def test_a_status_that_still_offers_the_server_keeps_the_model():
    settled = moving_to_cell(ready=3, workloads=(workload(status=offers(S1)),))
    steps = server_steps(compare(settled.snapshot, settled.plan, unoffered={}))
    assert steps.unloads == ()
    assert steps.due == pytest.approx(4.0)  # the default timeout of 2 s, and 2 s until every router knows


def test_an_unload_waits_until_old_requests_have_ended():
    settled = moving_to_cell(ready=3)
    for seconds, expected in ((3, ()), (5, ((POOL, S1),))):
        unoffered = {(POOL, S1, "sign-reader"): NOW - timedelta(seconds=seconds)}
        steps = server_steps(compare(settled.snapshot, settled.plan, unoffered=unoffered))
        assert tuple((s.pool, s.http) for s in steps.unloads) == expected


def test_the_order_of_an_outdated_cell_status_is_no_proof():
    behind = cell(replicas=3, ready=3)
    behind = behind.model_copy(update={"metadata": behind.metadata.model_copy(update={"generation": 2})})
    assert unloads(to_cell(3, servers=(server(S1, loaded()),), cells=(behind,))) == []


def test_one_car_of_many_that_never_comes_keeps_no_server():
    many = to_cell(20, servers=(server(S1, loaded()),), cells=(cell(replicas=20, ready=18),))
    assert unloads(many) == [(S1, "sign-reader")]


def test_a_deleted_workload_is_unloaded_without_a_replacement():
    gone = workload(deleted=LONG_AGO)
    left = part(left_out=Refusal(KEY, "", Reason.BEING_DELETED, "it is being deleted"))
    seen = snapshot(workloads=(gone,), servers=(server(S1, loaded()), server(S2, loaded())))
    assert unloads(compare(seen, plan(left))) == [(S1, "sign-reader"), (S2, "sign-reader")]


def test_a_broken_artifact_takes_nothing_away_that_runs():
    left = part(left_out=Refusal(KEY, "", Reason.ARTIFACT_FAILED, "the digest differs"))
    seen = snapshot(servers=(server(S1, loaded(version=VERSION + 1)),))
    assert unloads(compare(seen, plan(left))) == []


def test_a_workload_that_changed_meanwhile_is_left_as_it_is():
    moving = moving_to_cell(ready=3)
    assert unloads(compare(moving.snapshot, moving.plan, changed=frozenset({KEY}))) == []


def test_models_of_others_are_never_touched():
    assert unloads(to_triton(S1, servers=(server(S1, loaded(), loaded("somebody-elses")),))) == []


def test_a_dead_server_gets_no_steps():
    steps = server_steps(to_triton(S2, servers=(server(S1, loaded(), live=False), server(S2))))
    assert [step.http for step in steps.loads] == [S2]


def swap(memory, **ready):
    """`sign-reader` moves from server 1 to 2 and `other` from 2 to 1; each takes 1Gi."""
    del ready
    planned = plan(part(), part(key=OTHER, model="other"), servers={S1: (served(OTHER, "other"),), S2: (served(),)})
    seen = snapshot(
        workloads=(workload(OTHER, model="other"), workload()),
        servers=(server(S1, loaded()), server(S2, loaded("other"))),
        triton_pools=(triton_pool(memory),),
    )
    return compare(seen, planned)


def test_with_room_for_both_a_swap_makes_before_it_breaks():
    assert loads(swap("2Gi")) == [(S1, "other", 1), (S2, "sign-reader", 1)]
    assert unloads(swap("2Gi")) == []


def test_where_memory_is_tight_a_swap_shrinks_before_it_grows():
    assert loads(swap("1Gi")) == []
    assert unloads(swap("1Gi")) == [(S1, "sign-reader"), (S2, "other")]


def test_a_model_waits_for_memory_while_its_neighbour_can_still_move():
    planned = plan(part(), part(key=OTHER, model="other"), servers={S1: (served(OTHER, "other"),), S2: (served(),)})
    seen = snapshot(
        workloads=(workload(OTHER, model="other"), workload()),
        servers=(server(S1, loaded()), server(S2)),
        triton_pools=(triton_pool("1Gi"),),
    )
    assert loads(compare(seen, planned)) == [(S2, "sign-reader", 1)]
    assert unloads(compare(seen, planned)) == []


def test_one_placement_in_a_cell_and_none_on_triton_needs_no_server():
    planned = plan(part(on_cell(3)), cells={CELL: (assigned(3),)})
    assert loads(compare(snapshot(), planned)) == []


def test_a_file_that_is_awaited_is_staged_though_nothing_is_planned_yet():
    left = part(left_out=Refusal(KEY, "", Reason.FETCHING, "wait"))
    awaiting = replace(plan(left), awaited=((KEY, DIGEST),))
    assert [step.sha256 for step in server_steps(compare(snapshot(artifacts=()), awaiting)).stages] == [DIGEST]
    assert server_steps(compare(snapshot(), awaiting)).stages == ()
    suspended = compare(snapshot(artifacts=(), workloads=(workload(suspend=True),)), awaiting)
    assert server_steps(suspended).stages == ()
