"""`kubectl parkade plan`: the cycle's own planner, run here on what the API server shows."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from parkade.api import Region, TritonPool, VehicleNodePool, load
from parkade.cluster.reading import read_series
from parkade.errors import InvalidInput
from parkade.kubectl import planned
from parkade.kubectl.completing import workload_name
from parkade.kubectl.connecting import Connection, connected
from parkade.kubectl.foreseeing import applied, snapshot_of
from parkade.kubectl.problems import WORDS
from parkade.plan import plan_once
from parkade.settings import Economics
from parkade.solver import solve

PLANNED: Final = ("inferenceworkloads", "regions", "tritonpools", "vehiclenodepools", "vehiclecells")


@click.command()
@connected
@click.argument("workload", default="", shell_complete=workload_name)
@click.option(
    "-f", "--filename", "folder", type=click.Path(path_type=Path), help="Manifest or folder of them to assume."
)
def plan(connection: Connection, workload: str, folder: Path | None) -> None:
    """Plan here from what the cluster shows, with the manifests of -f as if they were applied, and change nothing.

    It says what would run where beside what runs now, at what cost, and what would be short. With WORKLOAD only that
    one is shown, with every place that it may not use. Model files are taken to be there, and the operator's settings
    to be the defaults.
    """
    manifests = load(folder) if folder else ()
    everywhere = replace(connection, namespace="")
    with everywhere.client() as client:
        seen = applied(everywhere.look(client, PLANNED, PLANNED), manifests)
        owners: tuple[Region | VehicleNodePool | TritonPool, ...] = (
            *seen.regions, *seen.vehicle_pools, *seen.triton_pools,
        )  # fmt: skip
        series = read_series(client, connection.system, owners)
    found = planned.forecast_of(
        seen,
        plan_once(snapshot_of(seen, series), Economics(), solve),
        tuple(f"{WORDS[it.kind]} {it.key}" for it in manifests),
    )
    only = "/".join(connection.named(workload)) if workload else ""
    if only and all(f"{row.namespace}/{row.name}" != only for row in found.workloads):
        raise InvalidInput(f"there is no workload {only}; kubectl get inferenceworkloads -A lists them")
    connection.show("Forecast", found, lambda screen: planned.render(found, screen, only))
