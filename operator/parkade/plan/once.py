"""One plan from one snapshot: frame, solve, pack, and solve again without what did not fit."""

from collections import Counter, defaultdict
from collections.abc import Callable
from functools import reduce
from typing import Final

import numpy as np

from parkade.plan.naming import name_workloads
from parkade.plan.packing import Packed, Solved, pack
from parkade.plan.plan import (
    CellAssignment,
    CellOrder,
    Certificate,
    Expected,
    Plan,
    ServedModel,
    ServerOrder,
    WorkloadPlan,
)
from parkade.plan.tally import Tally, shares, tally
from parkade.problem.arrays import ProblemArrays
from parkade.problem.costs import CostSplit
from parkade.problem.eligibility import artifact_for
from parkade.problem.framing import Framed, frame
from parkade.settings import Economics
from parkade.snapshot import Snapshot
from parkade.snapshot.versions import version_of
from parkade.solver import SolutionArrays

ROUNDS: Final = 3
"""Solves at most; what still fits nowhere then is a shortfall."""

Solve = Callable[[ProblemArrays], SolutionArrays]


def plan_once(snapshot: Snapshot, economics: Economics, solve: Solve, *, offline: bool = False) -> Plan:
    """Plan a snapshot. Pure if `solve` is: equal snapshots give byte-equal plans.

    Offline, without a cluster, pools offer what they expect, and places are named by their pool.
    """
    framed = frame(snapshot, economics, offline=offline)
    first = solution = solve(framed.arrays)
    caps: dict[tuple[int, int], int] = {}
    rounds = 1
    packed = _pack(framed, snapshot, solution, offline=offline)
    best = framed, tally(framed, solution, packed), packed
    while packed.left and rounds < ROUNDS:
        for pair, missing in packed.left.items():
            caps[pair] = _wanted(framed, solution, only_apart=False)[pair] - missing
        framed = framed.capped(caps)
        solution = solve(framed.arrays)
        packed = _pack(framed, snapshot, solution, offline=offline)
        rounds += 1
        result = tally(framed, solution, packed)
        if result.objective < best[1].objective - 1e-9:
            best = framed, result, packed
    framed, result, packed = best
    certificate = Certificate(
        status=first.status,
        objective=result.objective,
        bound=first.bound,
        gap=first.gap,
        packed_gap=result.gap(first.bound),
        rounds=rounds,
    )
    return _plan(framed, snapshot, result, packed, certificate)


def _pack(framed: Framed, snapshot: Snapshot, solution: SolutionArrays, *, offline: bool) -> Packed:
    wanted = _wanted(framed, solution, only_apart=False)
    apart = _wanted(framed, solution, only_apart=True)
    return pack(framed, snapshot, Solved(wanted, apart, solution.units.tolist()), offline=offline)


def _wanted(framed: Framed, solution: SolutionArrays, *, only_apart: bool) -> dict[tuple[int, int], int]:
    found: dict[tuple[int, int], int] = defaultdict(int)
    rows = framed.arcs.rows
    apart = rows.apart & framed.tables.covers.wants_apart[rows.workload]
    for index in np.flatnonzero(solution.replicas).tolist():
        if apart[index] or not only_apart:
            found[int(rows.workload[index]), int(rows.place[index])] += int(solution.replicas[index])
    return found


def _plan(framed: Framed, snapshot: Snapshot, result: Tally, packed: Packed, certificate: Certificate) -> Plan:
    models = {workload.key: workload.spec.model.name for workload in snapshot.workloads}
    workloads = tuple(
        WorkloadPlan(part.workload, models[part.workload], left_out=part.left_out) if part.left_out else part
        for part in name_workloads(framed, result, packed)
    )
    expected = [part.expected for part in workloads]
    return Plan(
        solved_at=snapshot.now,
        workloads=workloads,
        cells=_cell_orders(framed, snapshot, result, packed),
        servers=_server_orders(framed, snapshot, packed),
        certificate=certificate,
        cost=reduce(lambda a, b: a + b, (part.cost for part in workloads), CostSplit()),
        expected=Expected(
            p99=max((it.p99 for it in expected), default=0.0),
            watts=sum(it.watts for it in expected),
            grams_co2_per_hour=sum(it.grams_co2_per_hour for it in expected),
            cost_per_hour=sum(it.cost_per_hour for it in expected),
        ),
        awaited=framed.awaited,
    )


def _cell_orders(framed: Framed, snapshot: Snapshot, result: Tally, packed: Packed) -> tuple[CellOrder, ...]:
    """Replicas by cell over all its columns; workloads that cannot be read keep what they have."""
    share = shares(framed, result.counts)
    whole: Counter[tuple[int, int]] = Counter()
    for (workload, place, _), count in packed.cells.items():
        whole[workload, place] += count
    found: dict[str, dict[int, tuple[int, float]]] = defaultdict(dict)
    for (workload, place, name), count in packed.cells.items():
        replicas, weight = found[name].get(workload, (0, 0.0))
        part = share.get((workload, place), 0.0) * count / whole[workload, place]
        found[name][workload] = replicas + count, weight + part
    hardware_of = {pool.key: pool.spec.hardware.name for pool in snapshot.vehicle_pools}
    orders = []
    stays = {(row.workload, it.key) for cells in framed.offered.values() for it in cells for row in it.spec.assignments}
    for cell in snapshot.cells:
        assignments = [
            CellAssignment(a.workload, a.digest, a.replicas, a.share, a.priority)
            for a in cell.spec.assignments
            if a.workload in snapshot.unreadable and (a.workload, cell.key) in stays
        ]
        for workload, (count, weight) in found[cell.key].items():
            resource = framed.workloads[workload].resource
            artifact = artifact_for(resource, hardware_of.get(cell.spec.pool, ""))
            if artifact is not None:
                percent = round(100.0 * weight)
                assignments.append(
                    CellAssignment(resource.key, artifact.sha256, count, percent, resource.spec.priority)
                )
        orders.append(CellOrder(cell.key, tuple(sorted(assignments))))
    return tuple(sorted(orders))


def _server_orders(framed: Framed, snapshot: Snapshot, packed: Packed) -> tuple[ServerOrder, ...]:
    found: dict[tuple[str, str], list[ServedModel]] = defaultdict(list)
    for (workload, place, http), instances in packed.servers.items():
        resource, where = framed.workloads[workload].resource, framed.places[place]
        artifact = artifact_for(resource, where.hardware)
        if artifact is not None:
            digest = artifact.sha256
            served = ServedModel(resource.key, resource.spec.model.name, digest, version_of(digest), instances)
            found[where.pool, http].append(served)
    return tuple(
        sorted(
            ServerOrder(server.pool, server.http, tuple(sorted(found[server.pool, server.http])))
            for server in snapshot.servers
            if server.live
        )
    )
