"""`kubectl parkade`: one line a subcommand, imported on use."""

import importlib
import sys
from typing import Final

import click

from parkade import __version__
from parkade.errors import InvalidInput, ParkadeError

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


class LazyGroup(click.Group):
    """Imports a subcommand only when it is called: help and completion stay instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and return it, or None for an unknown name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 -- a wrong table entry is our own defect
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by the table, without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_target, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup)
@click.version_option(__version__, prog_name="kubectl parkade")
def parkade() -> None:
    """See how Parkade does in this cluster, and tell it what to do."""


def main() -> None:
    """Run as a plugin of kubectl; an error is one sentence on standard error, never a traceback."""
    try:
        parkade(prog_name="kubectl parkade")
    except ParkadeError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2 if isinstance(error, InvalidInput) else 1)
