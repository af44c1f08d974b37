import pytest
from hypothesis import given
from hypothesis import strategies as st

from changes.scene import (
    CELL,
    KEY,
    LONG_AGO,
    NOW,
    S1,
    assigned,
    cell,
    compare,
    loaded,
    offers,
    part,
    plan,
    served,
    server,
    snapshot,
    to_cell,
    to_triton,
    vehicle_pool,
    workload,
)
from parkade.changes.cells import cell_steps, cells_needed
from parkade.problem.reasons import Reason, Refusal


def orders(comparison):
    return {step.cell: {row.workload: row.replicas for row in step.assignments} for step in cell_steps(comparison)}


def test_a_pool_without_cells_gets_one():
    comparison = compare(snapshot(cells=()), plan())
    assert orders(comparison) == {CELL: {}}
    assert cell_steps(comparison)[0].term == 7


def test_a_cell_that_is_as_it_should_be_is_left_alone():
    assert orders(to_cell(3, cells=(cell(replicas=3),))) == {}


def test_the_plan_becomes_the_cells_order():
    assert orders(to_cell(3)) == {CELL: {KEY: 3}}


def test_a_new_leader_writes_its_term_at_once():
    assert orders(to_cell(3, cells=(cell(replicas=3, term=6),))) == {CELL: {KEY: 3}}


@pytest.mark.parametrize(("ready", "expected"), [(0, {}), (1, {CELL: {}})])
def test_an_order_stays_until_triton_answers(ready, expected):
    models = (loaded(),) if ready else ()
    assert orders(to_triton(S1, cells=(cell(replicas=3, ready=3),), servers=(server(S1, *models),))) == expected


def test_an_order_stays_while_routers_are_still_sent_there():
    offered = workload(status=offers(S1, cells=(CELL,)))
    seen = {"cells": (cell(replicas=3, ready=3),), "servers": (server(S1, loaded()),), "workloads": (offered,)}
    assert orders(to_triton(S1, **seen)) == {}


def test_fewer_replicas_wait_until_the_rest_answers_elsewhere():
    both = plan(part(), cells={CELL: (assigned(1),)}, servers={S1: (served(),)})
    running = {"cells": (cell(replicas=3, ready=3),)}
    assert orders(compare(snapshot(**running), both)) == {}
    assert orders(compare(snapshot(servers=(server(S1, loaded()),), **running), both)) == {CELL: {KEY: 1}}


@pytest.mark.parametrize("gone", [{"deleted": LONG_AGO}, {"suspend": True}])
def test_a_deleted_or_suspended_workload_leaves_at_once(gone):
    assert orders(to_cell(3, workloads=(workload(**gone),), cells=(cell(replicas=3, ready=3),))) == {CELL: {}}


def test_an_order_of_a_workload_that_is_gone_is_withdrawn():
    assert orders(compare(snapshot(workloads=(), cells=(cell(replicas=3),)), plan())) == {CELL: {}}


def test_an_order_of_a_workload_that_cannot_be_read_stays():
    seen = snapshot(workloads=(), cells=(cell(replicas=3),), unreadable=frozenset({KEY}))
    assert orders(compare(seen, plan())) == {}


def test_a_broken_artifact_leaves_the_old_version_running():
    left = part(left_out=Refusal(KEY, "", Reason.DIGEST_MISMATCH, "the digest differs"))
    older = cell(replicas=3, ready=3)
    (row,) = older.spec.assignments
    rows = (row.model_copy(update={"digest": "cd" * 32}),)
    older = older.model_copy(update={"spec": older.spec.model_copy(update={"assignments": rows})})
    assert orders(compare(snapshot(cells=(older,)), plan(left))) == {}


@pytest.mark.parametrize("reason", [Reason.DIGEST_MISMATCH, Reason.MODEL_REJECTED, Reason.FETCHING])
def test_an_order_for_a_file_that_cannot_be_had_is_taken_back(reason):
    left = part(left_out=Refusal(KEY, "", reason, "mend the file"))
    assert orders(compare(snapshot(cells=(cell(replicas=3),)), plan(left))) == {CELL: {}}


def test_no_place_at_all_empties_the_cell():
    left = part(left_out=Refusal(KEY, "", Reason.NO_PLACE, "no pool may run it"))
    assert orders(compare(snapshot(cells=(cell(replicas=3, ready=3),)), plan(left))) == {CELL: {}}


def test_a_pool_that_is_being_deleted_gets_no_cell():
    pool = vehicle_pool()
    leaving = pool.metadata.model_copy(update={"deletion_timestamp": NOW.isoformat()})
    assert (
        orders(compare(snapshot(vehicle_pools=(pool.model_copy(update={"metadata": leaving}),), cells=()), plan()))
        == {}
    )


@given(st.lists(st.integers(0, 60), max_size=6), st.integers(1, 200), st.integers(1, 50))
def test_cells_hold_all_known_vehicles_within_the_pools_size(registered, vehicles, size):
    pool = vehicle_pool(vehicles, size)
    cells = [cell(f"ca-home-{shard}", registered=known) for shard, known in enumerate(registered)]
    needed = cells_needed(pool, cells)
    assert needed >= 1
    assert needed * size >= min(sum(registered), vehicles)
    assert (needed - 1) * size < max(1, sum(registered))
    steps = cell_steps(compare(snapshot(vehicle_pools=(pool,), cells=tuple(cells)), plan()))
    made = [step.cell for step in steps if step.cell not in {c.metadata.name for c in cells}]
    assert len(made) == max(0, needed - len(cells))
    assert len(set(made)) == len(made)
