"""Completion: names from the cluster, for click's own shells and for kubectl's helper `kubectl_complete-parkade`.

kubectl runs the helper with the words after `kubectl parkade`, and completes what it prints in bash, zsh, fish and
PowerShell: a candidate a line with its help after a tab, and at last `:` and a directive.
"""

import os
import sys
from collections.abc import Callable
from typing import Any, Final

import click
from click.shell_completion import CompletionItem, ShellComplete

from parkade.errors import ParkadeError

_NO_FILES: Final = 4
"""cobra.ShellCompDirectiveNoFileComp."""
_FILES: Final = 0
"""cobra.ShellCompDirectiveDefault: the shell completes files."""


def helper() -> None:
    """Run as kubectl's completion helper; a cluster that does not answer completes nothing and says nothing."""
    from parkade.kubectl.command import parkade  # noqa: PLC0415 -- the table of commands imports nothing itself

    words = sys.argv[1:] or [""]
    found = ShellComplete(parkade, {}, "kubectl parkade", "_PARKADE_COMPLETE").get_completions(words[:-1], words[-1])
    files = any(item.type in ("file", "dir") for item in found)
    lines = [f"{item.value}\t{item.help or ''}".rstrip() for item in found if item.type == "plain"]
    sys.stdout.write("\n".join([*lines, f":{_FILES if files else _NO_FILES}"]) + "\n")


def workload_name(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Workloads: by name in the namespace that counts, and `namespace/name` of the others."""
    from parkade.cluster.resources import WORKLOADS  # noqa: PLC0415 -- a second of imports, for names only

    own, named = _own(context), bool(context.params.get("namespace"))
    names = [
        (meta["name"] if meta["namespace"] == own else f"{meta['namespace']}/{meta['name']}", "workload")
        for meta in _metadata(context, WORKLOADS.path(own if named else ""))
    ]
    return _starting(names, incomplete)


def cell_or_pool(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Cells and vehicle pools."""
    from parkade.cluster.resources import CELLS, VEHICLE_POOLS  # noqa: PLC0415 -- as above

    names = [(meta["name"], "vehicle pool") for meta in _metadata(context, VEHICLE_POOLS.path())]
    names += [(meta["name"], "cell") for meta in _metadata(context, CELLS.path())]
    return _starting(names, incomplete)


def namespace_name(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Namespaces that have workloads."""
    from parkade.cluster.resources import WORKLOADS  # noqa: PLC0415 -- as above

    names = sorted({meta["namespace"] for meta in _metadata(context, WORKLOADS.path())})
    return _starting([(name, "") for name in names], incomplete)


def context_name(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Contexts of the kubeconfig."""
    from parkade.cluster.client import contexts  # noqa: PLC0415 -- as above

    return _starting([(name, "") for name in contexts()], incomplete)


Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _starting(names: list[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=said or None) for name, said in names if name.startswith(incomplete)]


def _connection(context: click.Context) -> Any:  # noqa: ANN401 -- imported on use
    from parkade.kubectl.connecting import Connection  # noqa: PLC0415 -- it imports this module

    given = context.params
    return Connection(
        given.get("kubeconfig"), given.get("context"), given.get("user") or "", given.get("namespace") or "",
        given.get("system") or os.environ.get("PARKADE_NAMESPACE") or "parkade-system", "text",
    )  # fmt: skip


def _own(context: click.Context) -> str:
    return str(_connection(context).own_namespace)


def _metadata(context: click.Context, path: str) -> list[dict[str, Any]]:
    try:
        with _connection(context).client() as client:
            return [item["metadata"] for item in client.list(path)]
    except ParkadeError:
        return []
