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
from parkade.api.vehiclecell import SupplyColumn
from parkade.changes import Fronts, diff
from parkade.changes.cells import cell_steps, cells_needed, closing_cells, empty_cells
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


def test_a_cell_that_somebody_named_otherwise_keeps_its_name():
    named = cell(replicas=1, term=6)
    named = named.model_copy(update={"metadata": named.metadata.model_copy(update={"name": "garage"})})
    assert {step.cell for step in cell_steps(to_cell(3, cells=(named,)))} == {"garage"}


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


def _breathing(registered, *, closing=(), held=(), vehicles=100):
    """Cells of 20 cars each, as carlet reports them."""
    pool = vehicle_pool(vehicles, 20)
    cells = []
    for shard, known in enumerate(registered):
        made = cell(f"ca-home-{shard}", registered=known)
        holding = dict(held).get(shard, 0)
        supply = (SupplyColumn(link="WiFi", state="Asleep", vehicles=known, free=known - holding),) if known else ()
        spec = made.spec.model_copy(update={"closing": shard in closing})
        status = made.status.model_copy(update={"supply": supply, "observed_generation": 1})
        meta = made.metadata.model_copy(update={"generation": 1, "uid": f"uid-{shard}"})
        cells.append(made.model_copy(update={"spec": spec, "status": status, "metadata": meta}))
    return pool, cells


@pytest.mark.parametrize(
    ("registered", "closing", "held", "expected"),
    [
        ((20, 20, 1), (), {}, set()),  # more than two cells hold
        ((12, 12, 9), (), {}, set()),  # two would hold them, with too little to spare
        ((12, 12, 8), (), {}, {2}),  # with a fifth to spare; equal ones from the last
        ((12, 12, 8), (), {1: 2, 2: 3}, {0}),  # the one that has the least work
        ((12, 12, 8), (), {0: 1, 1: 1, 2: 1}, {2}),
        ((5,), (), {}, set()),  # the last stays
        ((2, 2, 2), (1,), {1: 2}, {1}),  # one at a time, and it goes on
        ((20, 12, 8), (1,), {1: 2}, {1}),  # it would not begin to close now, and goes on closing
        ((20, 13, 8), (1,), {1: 2}, set()),  # two cells are too few again
        ((20, 19, 2, 0), (1, 2), {1: 9}, {2}),  # the one with the most work opens again
        ((), (), {}, set()),
    ],
)
def test_a_pool_closes_a_cell_when_the_others_have_room_to_spare(registered, closing, held, expected):
    pool, cells = _breathing(registered, closing=closing, held=held)
    assert closing_cells(pool, cells) == {f"ca-home-{shard}" for shard in expected}


@pytest.mark.parametrize(("cordoned", "expected"), [
    ((), {2}),
    ((2,), set()),  # it is left alone, and the cars of one do not fit into the other with a fifth to spare
    ((0,), {2}),
])  # fmt: skip
def test_a_cordoned_cell_is_no_room(cordoned, expected):
    pool, cells = _breathing((12, 9, 2))
    names = frozenset(f"ca-home-{shard}" for shard in cordoned)
    assert closing_cells(pool, cells, names) == {f"ca-home-{shard}" for shard in expected}


def test_a_cell_of_which_carlet_has_not_spoken_yet_closes_none():
    pool, cells = _breathing((20, 0))
    silent = cells[1].status.model_copy(update={"observed_generation": 0})
    assert closing_cells(pool, [cells[0], cells[1].model_copy(update={"status": silent})]) == frozenset()


def test_a_closing_cell_keeps_its_orders_and_an_open_one_its_busy_cars():
    pool, cells = _breathing((4, 0), held={0: 3})
    small = vehicle_pool(100, 2)
    steps = {
        step.cell: step for step in cell_steps(compare(snapshot(vehicle_pools=(small,), cells=tuple(cells)), plan()))
    }
    assert (steps["ca-home-0"].max_vehicles, steps["ca-home-1"].max_vehicles) == (3, 2)
    holding = cell("ca-home-1", replicas=3, ready=3)
    held = cells[1].model_copy(update={"spec": holding.spec})
    closed = {
        step.cell: step for step in cell_steps(compare(snapshot(vehicle_pools=(pool,), cells=(cells[0], held)), plan()))
    }
    assert closed["ca-home-1"].closing
    assert [row.replicas for row in closed["ca-home-1"].assignments] == [3]


@pytest.mark.parametrize(
    ("registered", "closing", "replicas", "gone"),
    [((5, 0), (1,), 0, [("ca-home-1", "uid-1")]), ((5, 1), (1,), 0, []), ((5, 0), (1,), 2, []), ((5, 0), (), 0, [])],
)
def test_a_closing_cell_goes_when_it_is_empty(registered, closing, replicas, gone):
    pool, cells = _breathing(registered, closing=closing)
    rows = cell("ca-home-1", replicas=replicas).spec.assignments
    cells[1] = cells[1].model_copy(update={"spec": cells[1].spec.model_copy(update={"assignments": rows})})
    comparison = compare(snapshot(vehicle_pools=(pool,), cells=tuple(cells)), plan())
    assert [(step.cell, step.uid) for step in empty_cells(comparison)] == gone
    assert [step.cell for step in diff(comparison, Fronts())[0].cells_gone] == [name for name, _ in gone]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=6), st.integers(0, 20))
def test_closing_ends_and_never_turns_back_by_itself(sizes, moved):
    """Idle cars move as carlet moves them: the total stays, so no cell opens again and none closes for nothing."""
    registered = [known for known, _ in sizes]
    pool, cells = _breathing(registered, held={i: min(known, holding) for i, (known, holding) in enumerate(sizes)})
    names = closing_cells(pool, cells)
    assert len(names) <= 1
    for name in names:
        shard = int(name.rpartition("-")[2])
        others = sum(registered) - registered[shard]
        assert sum(registered) <= 0.8 * 20 * (len(cells) - 1)
        left = max(0, registered[shard] - moved)
        after = [*registered]
        after[shard] = left
        after[shard - 1] += registered[shard] - left
        assert sum(after) == others + registered[shard]
        assert closing_cells(*_breathing(after, closing=(shard,))) == names
