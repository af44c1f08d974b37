"""`parkade up` and `parkade down`."""

import time
from pathlib import Path

import click

from parkade.local.paths import state_directory
from parkade.local.plane import Plane

directory_option = click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=state_directory,
    show_default="~/.local/state/parkade",
    help="Where this plane keeps its keys, logs and data.",
)


@click.command()
@directory_option
@click.option("--current", is_flag=True, help="Use the cluster of the current kubeconfig instead of starting one.")
@click.option("--control-plane-only", is_flag=True, help="Start no process of Parkade's own; apply the CRDs only.")
def up(directory: Path, *, current: bool, control_plane_only: bool) -> None:
    """Start a control plane, the fleet link and Parkade on this machine; no Docker needed."""
    started = time.monotonic()
    plane = Plane(directory, say=click.echo)
    plane.build(control_plane=not current, parkade=not control_plane_only)
    if current:
        plane.use_current_cluster()
    else:
        plane.start_control_plane()
    plane.install()
    if not control_plane_only:
        plane.start_link()
        plane.start_parkade()
    click.echo(f"Parkade is up after {time.monotonic() - started:.1f} s.")
    click.echo(f"  export KUBECONFIG={plane.kubeconfig}")
    click.echo("  kubectl get iw,vnp,vc,tp,rg,ge -A")


@click.command()
@directory_option
@click.option("--purge", is_flag=True, help="Delete the plane's keys, logs and data as well.")
def down(directory: Path, *, purge: bool) -> None:
    """Stop everything that `parkade up` started here, and nothing else."""
    if not directory.exists():
        click.echo(f"Nothing to stop: {directory} does not exist.")
        return
    stopped = Plane(directory).stop(purge=purge)
    click.echo(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")
