"""Commands that show and change nothing: `status` and `explain`."""

import sys
from dataclasses import replace

import click

from parkade.cluster.surveying import ALL
from parkade.errors import InvalidInput
from parkade.kubectl import explaining
from parkade.kubectl.completing import workload_name
from parkade.kubectl.connecting import Connection, connected
from parkade.kubectl.problems import Level
from parkade.kubectl.status import render, status_of


@click.command()
@connected
@click.option("--all", "everything", is_flag=True, help="Every problem on its own, and all of them.")
@click.option("--check", is_flag=True, help="Exit with 3 while anything is critical, for scripts.")
def status(connection: Connection, *, everything: bool, check: bool) -> None:
    """Say whether all is well, what is not, and what to do: worst first.

    Each problem has its cause and the command to type next. It reads the API server only.
    """
    found = status_of(connection.survey(ALL))
    connection.show("Status", found, lambda screen: render(found, screen, everything=everything))
    if check and any(problem.level is Level.CRITICAL for problem in found.problems):
        sys.exit(3)


@click.command()
@connected
@click.argument("workload", shell_complete=workload_name)
def explain(connection: Connection, workload: str) -> None:
    """Explain one WORKLOAD, `name` or `namespace/name`: where it runs and why, or what stands in its way."""
    namespace, name = connection.named(workload)
    scoped = replace(connection, namespace=namespace)
    parts = ("inferenceworkloads", "vehiclecells", "vehiclenodepools", "tritonpools", "events")
    try:
        found = explaining.explanation_of(scoped.survey(parts, ("inferenceworkloads",)), namespace, name)
    except InvalidInput:  # said again by who has looked at all namespaces, for one of them may have that name
        everywhere = replace(connection, namespace="").survey(parts)
        found = explaining.explanation_of(everywhere, namespace, name)
    connection.show("Explanation", found, lambda screen: explaining.render(found, screen))
