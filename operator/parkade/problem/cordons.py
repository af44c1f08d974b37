"""Cells as a plan may use them: a cordon of the cell's node lets nothing new in, a drain empties it.

A drain is a cordon and the eviction of the pods. So in a cordoned cell a workload is kept while its pod is there;
a pod that is gone is not made again, and what it showed is to run elsewhere. On a node without a cordon a lost pod says
nothing.
"""

from collections.abc import Iterator

from parkade.api import VehicleCell
from parkade.api.vehiclecell import SupplyColumn
from parkade.snapshot import Snapshot


def offered_cells(snapshot: Snapshot) -> tuple[VehicleCell, ...]:
    """All cells but the drained; a cordoned one offers the cars that hold something, for what they hold."""
    if not snapshot.cordoned_cells:
        return snapshot.cells
    shown = {(pod.workload, pod.cell) for pod in snapshot.pods if not pod.terminating}
    cells = (_cordoned(cell, shown) if cell.key in snapshot.cordoned_cells else cell for cell in snapshot.cells)
    return tuple(cell for cell in cells if cell is not None)


def _cordoned(cell: VehicleCell, shown: set[tuple[str, str]]) -> VehicleCell | None:
    kept = tuple(row for row in cell.spec.assignments if (str(row.workload), cell.key) in shown)
    if not kept:
        return None
    return cell.model_copy(
        update={
            "spec": cell.spec.model_copy(update={"assignments": kept}),
            "status": cell.status.model_copy(update={"supply": tuple(_busy(cell, sum(row.replicas for row in kept)))}),
        }
    )


def _busy(cell: VehicleCell, replicas: int) -> Iterator[SupplyColumn]:
    """The columns without their free cars, but for those to which replicas are on their way."""
    missing = max(0, replicas - sum(column.vehicles - column.free for column in cell.status.supply))
    for column in cell.status.supply:
        coming = min(column.free, missing)
        missing -= coming
        busy = column.vehicles - column.free + coming
        if busy > 0:
            yield column.model_copy(update={"vehicles": busy, "free": 0})
