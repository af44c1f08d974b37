"""Commands that tell Parkade what to do: `pause`, `resume`, `drain`, `undrain`."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import click

from parkade.cluster import steering
from parkade.cluster.client import ClusterClient
from parkade.cluster.resources import TRITON_POOLS, VEHICLE_POOLS
from parkade.errors import ClusterUnavailable, InvalidInput
from parkade.kubectl.completing import cell_or_pool, workload_name
from parkade.kubectl.connecting import Connection, connected
from parkade.kubectl.words import count, listed
from parkade.units import seconds

_LOOK: Final = 2.0
"""Seconds between two looks at cells that are being emptied."""


@dataclass(frozen=True, slots=True)
class Told:
    """What was changed."""

    action: str
    """pause, resume, drain or undrain."""
    target: str
    """A workload, a cell, a pool; empty: everything."""
    cells: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()
    """Cells whose cars are ordered to hold nothing any more."""
    message: str = field(default="")


@click.command()
@connected
@click.argument("workload", default="", shell_complete=workload_name)
@click.option("--because", default="", help="Why; `status` shows it.")
@click.option("--stop-serving", is_flag=True, help="With WORKLOAD: yes, its requests are to be refused.")
def pause(connection: Connection, workload: str, because: str, *, stop_serving: bool) -> None:
    """Pause all planning, or stop one WORKLOAD.

    Without WORKLOAD nothing is planned or changed any more and everything that runs goes on, also what should be
    replaced. With it, the workload is suspended: its models are unloaded and its requests refused.
    """
    if not workload:
        with connection.client() as client:
            now = datetime.now(UTC)
            steering.set_paused(client, connection.system, paused=True, now=now, because=because)
        said = "paused: nothing is planned or changed, everything that runs goes on; kubectl parkade resume ends it"
        _say(connection, Told("pause", "", message=said))
        return
    if not stop_serving:
        raise InvalidInput(
            f"pausing {workload} unloads its models and refuses its requests; add --stop-serving if you mean that, or "
            "leave the workload out to freeze everything as it runs"
        )
    _suspend(connection, "pause", workload, suspended=True)


@click.command()
@connected
@click.argument("workload", default="", shell_complete=workload_name)
def resume(connection: Connection, workload: str) -> None:
    """End the pause of everything, or serve one WORKLOAD again."""
    if workload:
        _suspend(connection, "resume", workload, suspended=False)
        return
    with connection.client() as client:
        steering.set_paused(client, connection.system, paused=False, now=datetime.now(UTC))
    _say(connection, Told("resume", "", message="resumed: the next cycle runs within seconds"))


def _suspend(connection: Connection, action: str, workload: str, *, suspended: bool) -> None:
    namespace, name = connection.named(workload)
    with connection.client() as client:
        steering.set_suspended(client, namespace, name, suspended=suspended)
    said = "is suspended: its models are unloaded and its requests refused" if suspended else "is served again"
    _say(connection, Told(action, f"{namespace}/{name}", message=f"{namespace}/{name} {said}"))


@click.command()
@connected
@click.argument("target", metavar="POOL|CELL", shell_complete=cell_or_pool)
@click.option("--timeout", default="5m", show_default=True, help="How long to wait until it is empty; 0s: not at all.")
def drain(connection: Connection, target: str, timeout: str) -> None:
    """Move what runs in a cell, or in all cells of a vehicle pool, elsewhere: ready there before it ends here.

    The nodes of the cells are cordoned and their pods evicted, as by kubectl drain. What finds no other place stays
    unserved, and `status` says so. `undrain` ends it.
    """
    patience = _patience(timeout)
    with connection.client() as client:
        cells = _cells(client, target)
        for cell in cells:
            steering.cordon(client, cell, cordoned=True)
        emptied = _emptied(client, cells, patience)
    left = [cell for cell in cells if cell not in emptied]
    said = f"{count(len(cells), 'cell')} cordoned, {len(emptied)} of them empty"
    if left:
        said += f"; {listed(left)} still hold what is not ready elsewhere: kubectl parkade status says why"
    _say(connection, Told("drain", target, cells, emptied, said))
    if left and patience:
        raise click.exceptions.Exit(3)


@click.command()
@connected
@click.argument("target", metavar="POOL|CELL", shell_complete=cell_or_pool)
def undrain(connection: Connection, target: str) -> None:
    """Use a cell, or all cells of a vehicle pool, again."""
    with connection.client() as client:
        cells = _cells(client, target)
        for cell in cells:
            steering.cordon(client, cell, cordoned=False)
    _say(connection, Told("undrain", target, cells, message=f"{count(len(cells), 'cell')} may be used again"))


def _patience(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise InvalidInput(f"--timeout: {error}") from None


def _cells(client: ClusterClient, target: str) -> tuple[str, ...]:
    cells = steering.cells_of(client, target)
    if cells:
        return cells
    if steering.is_pool(client, TRITON_POOLS, target):
        raise InvalidInput(
            f"{target} is a Triton pool, whose servers Parkade does not own: set spec.keepFree of the pool to "
            f"{{percent: 100}} to use none of them"
        )
    if steering.is_pool(client, VEHICLE_POOLS, target):
        raise InvalidInput(f"the vehicle pool {target} has no cell yet, so nothing runs there")
    raise InvalidInput(f"there is no cell and no pool named {target}; kubectl get vehiclecells lists them")


def _emptied(client: ClusterClient, cells: tuple[str, ...], patience: float) -> tuple[str, ...]:
    """Evict, and wait until the cells hold nothing; evictions that a budget refuses are asked for again."""
    ends = time.monotonic() + patience
    while True:
        try:
            full = [row.cell for row in steering.held(client, cells) if row.orders]
            for cell in full:
                steering.evict(client, cell)
        except ClusterUnavailable:
            if time.monotonic() >= ends:
                raise
            full = list(cells)
        if not full or time.monotonic() + _LOOK >= ends:
            return tuple(cell for cell in cells if cell not in full)
        time.sleep(_LOOK)


def _say(connection: Connection, told: Told) -> None:
    connection.show("Told", told, lambda _screen: told.message + "\n")
