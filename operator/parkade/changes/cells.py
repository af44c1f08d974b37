"""Cells: which exist, and the orders to their cars.

A pool that outgrows its cells gets more, which fill with newcomers. One that would fit into fewer closes one at a time:
it takes no new car, carlet moves its idle cars to the others, what runs stays until its car leaves or the plan
moves it, and the empty cell goes. Between both lies `SPARE`, so that a pool that breathes moves nobody.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil
from typing import Final

from parkade.api import VehicleCell, VehicleNodePool
from parkade.changes.changes import ApplyCell, DeleteCell, Target
from parkade.changes.comparison import Comparison, Fate
from parkade.plan import CellAssignment

SPARE: Final = 0.2
"""Share of the room of the other cells that stays free when one closes."""


def cell_steps(comparison: Comparison) -> tuple[ApplyCell, ...]:
    """Cells to make, and cells whose orders, size or term differ."""
    return tuple(sorted(_steps(comparison), key=lambda step: step.cell))


def _steps(comparison: Comparison) -> Iterator[ApplyCell]:
    for pool, existing, closing in _pools(comparison):
        if pool.metadata.deletion_timestamp is not None:
            continue
        for cell in existing:
            room = max(pool.spec.cell.max_vehicles, _held(cell))  # a smaller size moves no work either
            wanted = replace(
                _apply(comparison, pool, cell.spec.shard, orders(comparison, cell)),
                cell=cell.metadata.name,  # whoever named it
                max_vehicles=room,
                closing=cell.metadata.name in closing,
            )
            if cell.metadata.deletion_timestamp is None and wanted != _present(pool, cell):
                yield wanted
        taken = {cell.spec.shard for cell in existing}
        missing = max(0, cells_needed(pool, existing) - len(existing))
        free = (shard for shard in range(len(taken) + missing) if shard not in taken)
        for _ in range(missing):
            yield _apply(comparison, pool, next(free), ())


def _pools(comparison: Comparison) -> Iterator[tuple[VehicleNodePool, Sequence[VehicleCell], frozenset[str]]]:
    """Each pool with its cells and the names of those that are to be emptied."""
    for pool in comparison.snapshot.vehicle_pools:
        cells = comparison.snapshot.cells_of.get(pool.metadata.name, ())
        yield pool, cells, closing_cells(pool, cells, comparison.snapshot.cordoned_cells)


def closing_cells(
    pool: VehicleNodePool, cells: Sequence[VehicleCell], cordoned: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Names of the cells that are to be emptied: those that are, as long as the others suffice, and one at a time.

    A cordoned cell takes no car, so that it is no room for those of another, and its own stay where they are.
    """
    closing = sorted((cell for cell in cells if cell.spec.closing), key=lambda cell: (_held(cell), -cell.spec.shard))
    free = [cell for cell in cells if cell.metadata.name not in cordoned]
    opened = [cell for cell in free if not cell.spec.closing]
    if closing:
        reopened = max(0, cells_needed(pool, free) - len(opened))
        return frozenset(cell.metadata.name for cell in closing[: len(closing) - reopened])
    room = pool.spec.cell.max_vehicles * (len(opened) - 1)
    if len(opened) < 2 or not all(map(_reported, opened)) or _known(opened) > (1.0 - SPARE) * room:
        return frozenset()
    return frozenset({min(opened, key=lambda cell: (_held(cell), -cell.spec.shard)).metadata.name})


def empty_cells(comparison: Comparison) -> tuple[DeleteCell, ...]:
    """Closing cells of which carlet says that no car is in them, and which order nothing."""
    return tuple(
        DeleteCell(cell.metadata.name, cell.metadata.uid)
        for _, cells, closing in _pools(comparison)
        for cell in cells
        if cell.spec.closing and cell.metadata.name in closing and _reported(cell)
        if cell.status.vehicles.registered == 0 and not cell.spec.assignments and not orders(comparison, cell)
        if cell.metadata.deletion_timestamp is None
    )


def _known(cells: Sequence[VehicleCell]) -> int:
    """Cars that said hello."""
    return sum(cell.status.vehicles.registered + cell.status.vehicles.waiting for cell in cells)


def _held(cell: VehicleCell) -> int:
    """Cars that hold a model."""
    return sum(max(0, column.vehicles - column.free) for column in cell.status.supply)


def _reported(cell: VehicleCell) -> bool:
    """What carlet says is of the cell as it is ordered now."""
    return cell.status.observed_generation >= cell.metadata.generation > 0


def cells_needed(pool: VehicleNodePool, cells: Sequence[VehicleCell]) -> int:
    """Cells for all vehicles that said hello: one to begin with, never more than the pool's size asks for."""
    size = pool.spec.cell.max_vehicles
    most = max(1, ceil(pool.spec.vehicles / size))
    return min(most, max(1, ceil(_known(cells) / size)))


def orders(comparison: Comparison, cell: VehicleCell) -> tuple[CellAssignment, ...]:
    """What the cell is to run now: the plan, and what must stay until its replacement answers."""
    planned = comparison.orders.get(cell.metadata.name, {})
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
        closing=cell.spec.closing,
    )
