"""Cells: which exist, and the orders to their cars. A cell is never taken away; it goes with its pool."""

from collections.abc import Iterator
from math import ceil

from parkade.api import VehicleCell, VehicleNodePool
from parkade.changes.changes import ApplyCell, Target
from parkade.changes.comparison import Comparison, Fate
from parkade.plan import CellAssignment


def cell_steps(comparison: Comparison) -> tuple[ApplyCell, ...]:
    """Cells to make, and cells whose orders, size or term differ."""
    return tuple(sorted(_steps(comparison), key=lambda step: step.cell))


def _steps(comparison: Comparison) -> Iterator[ApplyCell]:
    for pool in comparison.snapshot.vehicle_pools:
        if pool.metadata.deletion_timestamp is not None:
            continue
        existing = [cell for cell in comparison.snapshot.cells if cell.spec.pool == pool.metadata.name]
        for cell in existing:
            wanted = _apply(comparison, pool, cell.spec.shard, orders(comparison, cell))
            if cell.metadata.deletion_timestamp is None and wanted != _present(pool, cell):
                yield wanted
        taken = {cell.spec.shard for cell in existing}
        missing = max(0, cells_needed(pool, existing) - len(existing))
        free = (shard for shard in range(len(taken) + missing) if shard not in taken)
        for _ in range(missing):
            yield _apply(comparison, pool, next(free), ())


def cells_needed(pool: VehicleNodePool, cells: list[VehicleCell]) -> int:
    """Cells for all vehicles that said hello: one to begin with, never more than the pool's size asks for."""
    size = pool.spec.cell.max_vehicles
    known = sum(cell.status.vehicles.registered + cell.status.vehicles.waiting for cell in cells)
    most = max(1, ceil(pool.spec.vehicles / size))
    return min(most, max(1, ceil(known / size)))


def orders(comparison: Comparison, cell: VehicleCell) -> tuple[CellAssignment, ...]:
    """What the cell is to run now: the plan, and what must stay until its replacement answers."""
    planned = {
        row.workload: row
        for order in comparison.plan.cells
        if order.cell == cell.metadata.name
        for row in order.assignments
    }
    present = {row.workload: row for row in assignments(cell)}
    rows = [_order(comparison, cell, planned.get(k), present.get(k)) for k in planned.keys() | present.keys()]
    return tuple(sorted(row for row in rows if row is not None))


def _order(
    comparison: Comparison, cell: VehicleCell, planned: CellAssignment | None, present: CellAssignment | None
) -> CellAssignment | None:
    """One workload in one cell; None when it is to leave, or not to come."""
    key = (planned or present).workload  # type: ignore[union-attr]  # one of them is there
    match comparison.fate(key):
        case Fate.STOP:
            return None
        case Fate.HOLD:
            return None if present is not None and comparison.is_refused(key, present.digest) else present
        case Fate.SERVE if planned is None:
            gone = comparison.is_settled(key) and not comparison.offers_cell(key, cell.metadata.name)
            return None if gone else present
    if planned is None or present is None or planned.replicas >= present.replicas or comparison.is_settled(key):
        return planned
    return CellAssignment(key, planned.digest, present.replicas, planned.share, planned.priority)


def assignments(cell: VehicleCell) -> tuple[CellAssignment, ...]:
    """The orders that a cell has, sorted."""
    return tuple(
        sorted(
            CellAssignment(str(row.workload), str(row.digest), row.replicas, row.share, row.priority)
            for row in cell.spec.assignments
        )
    )


def _apply(comparison: Comparison, pool: VehicleNodePool, shard: int, rows: tuple[CellAssignment, ...]) -> ApplyCell:
    return ApplyCell(
        cell=f"{pool.metadata.name}-{shard}",
        pool=Target(pool.kind, "", pool.metadata.name, pool.metadata.uid),
        region=pool.spec.region,
        shard=shard,
        max_vehicles=pool.spec.cell.max_vehicles,
        term=comparison.snapshot.term,
        assignments=rows,
    )


def _present(pool: VehicleNodePool, cell: VehicleCell) -> ApplyCell:
    """The step that would make the cell as it is."""
    return ApplyCell(
        cell=cell.metadata.name,
        pool=Target(pool.kind, "", pool.metadata.name, pool.metadata.uid),
        region=cell.spec.region,
        shard=cell.spec.shard,
        max_vehicles=cell.spec.max_vehicles,
        term=cell.spec.term,
        assignments=assignments(cell),
    )
