"""The cycle simulated: cars and servers obey, slowly and in any order; some laws hold at every moment."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from changes.scene import (
    CELL,
    S1,
    S2,
    assigned,
    cell,
    loaded,
    on_cell,
    on_pool,
    part,
    plan,
    served,
    server,
    snapshot,
    workload,
)
from parkade.changes import Comparison, Fronts, diff, observe_offers
from parkade.changes.comparison import target_of

LONGEST = 30
"""Cycles in which every move must have ended; each takes two simulated seconds."""

places = st.sets(st.sampled_from([CELL, S1, S2]), min_size=1).flatmap(
    lambda used: st.fixed_dictionaries(
        {place: st.integers(1, 3) if place in used else st.just(0) for place in (CELL, S1, S2)}
    )
)
"""Replicas by place; often nothing at two of the three, so that whole moves are common."""


def planned(wanted):
    rows = [on_cell(wanted[CELL], share=60)] if wanted[CELL] else []
    rows += [on_pool(wanted[S1] + wanted[S2], share=40)] if wanted[S1] or wanted[S2] else []
    servers = {http: (served(instances=wanted[http]),) for http in (S1, S2) if wanted[http]}
    return plan(part(*rows), cells={CELL: (assigned(wanted[CELL]),) if wanted[CELL] else ()}, servers=servers)


def running(have):
    """The world in which `have` runs and answers, before anybody was told of it."""
    servers = tuple(server(http, *([loaded(instances=have[http])] if have[http] else [])) for http in (S1, S2))
    return snapshot(servers=servers, cells=(cell(replicas=have[CELL], ready=have[CELL], registered=4),))


def answering(seen):
    """Replicas that answer, by place."""
    ready = {s.http: m.instances for s in seen.servers for m in s.models if m.ready}
    return ready | {CELL: sum(row.ready for row in seen.cells[0].status.assignments)}


def offered(seen):
    """What routers are told: cells, and servers."""
    rows = seen.workloads[0].status.placements
    return {row.place for row in rows if row.tier == "Vehicle"} | {e.http for row in rows for e in row.endpoints}


def carried_out(seen, changes, prompt):
    """The world two seconds later. Servers obey at once; cars only in a `prompt` round."""
    for step in changes.statuses:
        if step.target.kind == "InferenceWorkload":
            seen = replace(seen, workloads=(workload().model_copy(update={"status": step.status}),))
    for step in changes.loads:
        models = (loaded(instances=step.model.instances),)
        seen = replace(seen, servers=tuple(server(s.http, *models) if s.http == step.http else s for s in seen.servers))
    for step in changes.unloads:
        assert step.http not in offered(seen), "a server that routers use was unloaded"
        seen = replace(seen, servers=tuple(server(s.http) if s.http == step.http else s for s in seen.servers))
    for step in changes.cells:
        replicas = sum(row.replicas for row in step.assignments)
        before = sum(row.ready for row in seen.cells[0].status.assignments)
        seen = replace(seen, cells=(cell(replicas=replicas, ready=min(before, replicas), registered=4),))
    if prompt:
        replicas = sum(row.replicas for row in seen.cells[0].spec.assignments)
        seen = replace(seen, cells=(cell(replicas=replicas, ready=replicas, registered=4),))
    return replace(seen, now=seen.now + timedelta(seconds=2))


@settings(max_examples=80, deadline=None)
@given(have=places, wanted=places, prompt=st.sets(st.integers(0, 12)))
def test_every_move_ends_at_the_plan_and_never_leaves_the_workload_without_an_answer(have, wanted, prompt):
    seen, target, unoffered = running(have), planned(wanted), {}
    for number in range(LONGEST):
        obey = number in prompt or number >= LONGEST // 2  # cars are slow, but they obey in the end
        unoffered = observe_offers(unoffered, seen)
        changes, _ = diff(Comparison(seen, target, unoffered), Fronts("Router"))
        seen = carried_out(seen, changes, obey)
        assert any(answering(seen).values()), "nobody answers"
        status = seen.workloads[0].status
        assert 0 <= sum(row.share for row in status.placements) <= 100
    assert {place: count for place, count in answering(seen).items() if count} == {
        place: count for place, count in wanted.items() if count
    }
    assert offered(seen) == {place for place, count in wanted.items() if count}
    steady, due = diff(Comparison(seen, target, observe_offers(unoffered, seen)), Fronts("Router"))
    assert due is None
    assert not [
        step
        for step in steady.ordered()
        if step.kind in ("cell", "load", "unload") or getattr(step, "target", None) == target_of(workload())
    ]
