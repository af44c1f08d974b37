"""The command `parkade`: one line a subcommand; each lives in the room that does its work and is imported on use."""

import importlib
import sys
from typing import Final

import click

from parkade import __version__
from parkade.errors import InvalidInput, ParkadeError

COMMANDS: Final = {
    "up": ("parkade.local.command:up", "Start a control plane and Parkade on this machine."),
    "down": ("parkade.local.command:down", "Stop what `parkade up` started."),
    "plan": ("parkade.plan.command:plan", "Plan a directory of manifests without a cluster."),
    "solve": ("parkade.solver.command:solve", "Solve a placement problem kept in a file."),
    "explain": ("parkade.plan.command:explain", "Explain a demand of a solved problem kept in files."),
    "generate-problem": ("parkade.simulate.command:generate_problem", "Make a placement problem of a chosen size."),
    "does-it-pay": ("parkade.report.command:does_it_pay", "Compare cars with servers over a year of real prices."),
    "crds": ("parkade.api.command:crds", "Generate the custom resource definitions."),
    "operator": ("parkade.handlers.command:operator", "Run the operator."),
    "fleet": ("parkade.fleet.command:fleet", "Let cars into a fleet and out of it, or play them."),
    "vehicle": ("parkade.vehicle.command:vehicle", "Run, ask or steer the agent in a car."),
}
"""Name: where the command is, and its line in `parkade --help`."""


class LazyGroup(click.Group):
    """Imports a subcommand's room only when it is called, so that `parkade --help` stays instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and return it, or None for an unknown name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        target, _summary = COMMANDS[cmd_name]
        module, _, name = target.partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 -- a wrong table entry is our own defect
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by the table, without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_target, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup)
@click.version_option(__version__)
def parkade() -> None:
    """Place inference on parked cars or Triton servers, wherever it is cheapest to serve it well."""


def main() -> None:
    """Run the command line; an error of ours is one sentence on standard error, never a traceback."""
    try:
        parkade()
    except ParkadeError as error:
        click.echo(f"parkade: {error}", err=True)
        sys.exit(2 if isinstance(error, InvalidInput) else 1)
