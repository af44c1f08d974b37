"""`parkade uninstall`: what the chart's last hook runs."""

from pathlib import Path

import click

from parkade.cluster.clearing import Clearing
from parkade.cluster.client import ClusterClient

_QPS, _BURST = 50.0, 100


@click.command()
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Kubeconfig of the cluster; default: KUBECONFIG, else the pod's service account.",
)
@click.option("--namespace", default="parkade-system", show_default=True, help="Where Parkade was installed.")
@click.option("--seconds", default=120.0, show_default=True, help="How long to try.")
def uninstall(kubeconfig: Path | None, namespace: str, seconds: float) -> None:
    """Remove what operator and carlet made, after they have ended, and let go of the users' objects.

    Cells, their nodes and pods, the workloads' Services, EndpointSlices and routes, and Leases are deleted. Workloads,
    pools, Regions and GridEvents stay, without our finalizers. Models that Triton holds stay loaded: delete the
    workloads first where they should not.
    """
    client = ClusterClient.connect(_QPS, _BURST, kubeconfig)
    try:
        Clearing(client, namespace, click.echo).run(seconds)
    finally:
        client.close()
