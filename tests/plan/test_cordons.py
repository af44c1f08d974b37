"""A cordon lets nothing new into a cell; what has lost its pod there leaves."""

from dataclasses import replace

import pytest

import worlds
from parkade.plan import Plan, plan_once
from parkade.settings import Economics
from parkade.snapshot import PodFace, Snapshot
from parkade.solver import solve

KEY = "vision/sign-reader"
FIRST, SECOND = "ca-home-hw4-0", "ca-home-hw4-1"
POD = PodFace("vision", f"sign-reader-{FIRST}", KEY, FIRST, terminating=False)


def town(replicas: int = 2, least: int = 2, **more: object) -> Snapshot:
    """Two cells of four cars each; the first holds replicas."""
    pool = worlds.cars()
    orders = [{"workload": KEY, "digest": worlds.digest("sign-reader"), "replicas": replicas}] if replicas else []
    cells = [
        worlds.cell(pool, 0, free=4 - replicas, assignments=orders, ready={KEY: replicas}),
        worlds.cell(pool, 1),
    ]
    placement = {"tiers": ["Vehicle"], "minReplicas": least}
    return worlds.snapshot([worlds.region(), pool, *cells, worlds.workload(placement=placement)], **more)


def cordoned(facts: Snapshot, *pods: PodFace) -> Snapshot:
    return replace(facts, cordoned_cells=frozenset({FIRST}), pods=pods)


def orders(facts: Snapshot) -> dict[str, int]:
    plan: Plan = plan_once(facts, Economics(), solve)
    return {order.cell: row.replicas for order in plan.cells for row in order.assignments}


def test_what_runs_in_a_cordoned_cell_stays():
    assert orders(cordoned(town(), POD)) == orders(town()) == {FIRST: 2}


def test_replicas_on_their_way_into_a_cordoned_cell_stay():
    facts = town()
    first, second = facts.cells
    column = first.status.supply[0].model_copy(update={"free": 4})
    early = first.model_copy(update={"status": first.status.model_copy(update={"supply": (column,)})})
    assert orders(cordoned(replace(facts, cells=(early, second)), POD)) == {FIRST: 2}


def test_more_replicas_go_elsewhere():
    assert orders(town(least=4)) == {FIRST: 4}
    assert orders(cordoned(town(least=4), POD)) == {FIRST: 2, SECOND: 2}


def test_a_cordoned_cell_that_holds_nothing_gets_nothing():
    assert orders(cordoned(town(replicas=0))) == {SECOND: 2}


@pytest.mark.parametrize("pods", [(), (replace(POD, terminating=True),)])
def test_an_evicted_workload_leaves(pods):
    assert orders(cordoned(town(), *pods)) == {SECOND: 2}


def test_a_lost_pod_says_nothing_on_a_node_without_a_cordon():
    assert orders(town()) == {FIRST: 2}
