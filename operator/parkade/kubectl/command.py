"""`kubectl parkade`: one line a subcommand, imported on use."""

from typing import Final

import click

from parkade import __version__
from parkade.lazygroup import LazyGroup, run

COMMANDS: Final = {
    "status": ("parkade.kubectl.showing:status", "Is all well, what is not, what to do."),
    "top": ("parkade.kubectl.watching:top", "Workloads as they run: rates, latency, places, cost."),
    "explain": ("parkade.kubectl.showing:explain", "Why a workload is where it is, or nowhere."),
    "plan": (
        "parkade.kubectl.previewing:plan",
        "What would run where, with the manifests of -f, beside what runs now.",
    ),
    "events": ("parkade.kubectl.watching:events", "What happened lately."),
    "pause": ("parkade.kubectl.steering:pause", "Plan and change nothing until resumed."),
    "resume": ("parkade.kubectl.steering:resume", "End a pause."),
    "drain": ("parkade.kubectl.steering:drain", "Move what runs in a cell or a pool elsewhere."),
    "undrain": ("parkade.kubectl.steering:undrain", "Use a drained cell or pool again."),
}
"""Name: where the command is, and its line in `kubectl parkade --help`."""


@click.group(cls=LazyGroup, table=COMMANDS)
@click.version_option(__version__, prog_name="kubectl parkade")
def parkade() -> None:
    """See how Parkade does in this cluster, and tell it what to do."""


def main() -> None:
    """Run as a plugin of kubectl; an error is one sentence on standard error, never a traceback."""
    run(parkade, "error", "kubectl parkade")
