"""The part of a snapshot that is there to stay: what a plan may count on."""

from dataclasses import replace

from parkade.changes.comparison import is_deleted
from parkade.snapshot import Snapshot


def lasting(snapshot: Snapshot) -> Snapshot:
    """Without pools that are being deleted, their servers and their cells; what runs there is moved away first."""
    triton = tuple(pool for pool in snapshot.triton_pools if not is_deleted(pool))
    cars = tuple(pool for pool in snapshot.vehicle_pools if not is_deleted(pool))
    names, car_names = {pool.metadata.name for pool in triton}, {pool.metadata.name for pool in cars}
    return replace(
        snapshot,
        triton_pools=triton,
        vehicle_pools=cars,
        servers=tuple(server for server in snapshot.servers if server.pool in names),
        cells=tuple(cell for cell in snapshot.cells if cell.spec.pool in car_names and not is_deleted(cell)),
    )
