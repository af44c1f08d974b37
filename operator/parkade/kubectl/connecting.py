"""Options that all commands share: which cluster, in whose name, which namespace, and how answers are shown."""

import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import click

from parkade.cluster.client import Caller, ClusterClient, own_namespace
from parkade.cluster.surveying import Survey, survey
from parkade.errors import ClusterRefused, ClusterUnavailable
from parkade.kubectl.completing import context_name, namespace_name
from parkade.kubectl.document import document
from parkade.kubectl.screen import Screen

Output = Literal["text", "json"]
MANAGER: Final = "kubectl-parkade"
SYSTEM: Final = "parkade-system"
PLAIN_WIDTH: Final = 120
"""Columns where nobody says how wide the output may be, such as in a file."""
_REQUESTS: Final = (100.0, 200)
"""A second, and at once: a person waits for the answer."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What the shared options say."""

    kubeconfig: Path | None
    context: str | None
    user: str
    namespace: str
    """Empty: not named."""
    system: str
    output: Output

    @contextmanager
    def client(self) -> Iterator[ClusterClient]:
        """A connection to the API server, with refusals that concern the caller as a sentence of ours.

        Raises:
            ClusterUnavailable: no answer.
            ClusterRefused: the API server refuses.
        """
        caller = Caller(MANAGER, self.context, self.user)
        client = ClusterClient.connect(*_REQUESTS, self.kubeconfig, caller)
        try:
            yield client
        except ClusterRefused as refusal:
            if refusal.status == 401:
                said = f"{client.server} does not know you: log in again, or choose another --context"
                raise ClusterRefused(said, status=401, reason=refusal.reason) from None
            raise
        except ClusterUnavailable as error:
            raise ClusterUnavailable(f"{client.server} {_away(error)}") from None
        finally:
            client.close()

    def survey(self, parts: tuple[str, ...], needs: tuple[str, ...] = ()) -> Survey:
        """Read those parts, workloads of all namespaces unless one is named, or of one's own if that is all one may.

        Args:
            parts: as of `surveying.survey`.
            needs: those without which there is nothing to say.

        Raises:
            ClusterUnavailable: no answer.
            ClusterRefused: the API server refuses, or Parkade is not installed.
        """
        with self.client() as client:
            return self.look(client, parts, needs)

    def look(self, client: ClusterClient, parts: tuple[str, ...], needs: tuple[str, ...] = ()) -> Survey:
        """As `survey`, with a connection that is there already."""
        seen = self._widest(client, parts)
        for row in seen.withheld:
            if row.part in needs:
                raise ClusterRefused(row.why, status=404 if row.missing else 403)
        return seen

    def _widest(self, client: ClusterClient, parts: tuple[str, ...]) -> Survey:
        seen = survey(client, self.system, self.namespace, parts)
        own = [row for row in seen.withheld if row.part in ("inferenceworkloads", "events")]
        if any(row.missing for row in own):
            raise ClusterRefused(
                f"Parkade is not installed in {client.server}: it knows no {own[0].part}.parkade.dev; "
                "install the chart, or choose another --context",
                status=404,
            )
        if own and not self.namespace:
            narrower = survey(client, self.system, self.own_namespace, parts)
            if not any(narrower.lacks(row.part) for row in own):
                return narrower
        return seen

    @property
    def own_namespace(self) -> str:
        """The namespace named, else that of the context."""
        return self.namespace or own_namespace(self.kubeconfig, self.context)

    def named(self, workload: str) -> tuple[str, str]:
        """Namespace and name of a workload that is given as `name` or `namespace/name`."""
        namespace, slash, name = workload.rpartition("/")
        return (namespace, name) if slash else (self.own_namespace, workload)

    @property
    def flags(self) -> str:
        """What a command must be given to reach the same cluster."""
        named = (("kubeconfig", self.kubeconfig), ("context", self.context), ("as", self.user))
        return "".join(f" --{name} {value}" for name, value in named if value)

    def screen(self) -> Screen:
        """How wide standard output is, and whether it shows colours."""
        terminal = sys.stdout.isatty()
        colours = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        width = (
            shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns if terminal or "COLUMNS" in os.environ else PLAIN_WIDTH
        )
        own = f" --system-namespace {self.system}" if self.system != SYSTEM else ""
        return Screen(width, colours, self.flags, own)

    @property
    def height(self) -> int:
        """Lines of the terminal."""
        return shutil.get_terminal_size((PLAIN_WIDTH, 24)).lines

    def show(self, kind: str, value: object, render: Callable[[Screen], str]) -> None:
        """Print a value as the chosen output."""
        click.echo(document(kind, value) if self.output == "json" else render(self.screen()), nl=False, color=True)


def _away(error: ClusterUnavailable) -> str:
    """What the API server says of itself, or that it says nothing, without the path that was asked for."""
    said = str(error).partition(": ")[2] or str(error)
    if not said.startswith("the API server does not answer"):
        return f"cannot answer now: {said}"
    cause = said.rpartition(": ")[2].partition("')")[0].removesuffix("); check that it runs")
    return f"does not answer ({cause}); look at your network and --context, and whether it runs"


def connected(function: Callable[..., None]) -> Callable[..., None]:
    """Add the shared options; the command gets a `Connection` as its first argument."""

    @functools.wraps(function)
    def command(**given: Any) -> None:  # noqa: ANN401 -- click passes options by name
        names = ("kubeconfig", "context", "user", "namespace", "system", "output")
        function(Connection(**{name: given.pop(name) for name in names}), **given)

    path = click.Path(path_type=Path, dir_okay=False, exists=True)
    options = (
        click.option("-n", "--namespace", default="", shell_complete=namespace_name,
                     help="Namespace of workloads; default: all, or the context's."),
        click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True),
        click.option("--context", shell_complete=context_name, help="Context of the kubeconfig."),
        click.option("--kubeconfig", type=path, help="Kubeconfig; default: KUBECONFIG, else ~/.kube/config."),
        click.option("--as", "user", default="", metavar="USER", help="User to impersonate."),
        click.option("--system-namespace", "system", default=SYSTEM, envvar="PARKADE_NAMESPACE", show_default=True,
                     help="Namespace of Parkade itself."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command
