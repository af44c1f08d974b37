"""The command `parkade`: one line a subcommand; each lives in the room that does its work and is imported on use."""

from typing import Final

import click

from parkade import __version__
from parkade.lazygroup import LazyGroup, run

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
    "uninstall": ("parkade.cluster.command:uninstall", "Remove what Parkade made in a cluster."),
    "probe": ("parkade.serving.command:probe", "Send one real request through a router."),
    "fleet": ("parkade.fleet.command:fleet", "Let cars into a fleet and out of it, or play them."),
    "vehicle": ("parkade.vehicle.command:vehicle", "Run, ask or steer the agent in a car."),
}
"""Name: where the command is, and its line in `parkade --help`."""


@click.group(cls=LazyGroup, table=COMMANDS)
@click.version_option(__version__)
def parkade() -> None:
    """Place inference on parked cars or Triton servers, wherever it is cheapest to serve it well."""


def main() -> None:
    """Run the command line; an error of ours is one sentence on standard error, never a traceback."""
    run(parkade, "parkade")
