"""Every kubectl and helm command that a page prints, by the real programs; changes are dry runs on real objects."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from charts.conftest import helm, render
from charts.test_chart import Render
from pages.reading import ROOT, Command, commands
from parkade.local import binaries
from parkade.local.plane import Plane

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

__all__ = ["helm", "render"]

FOR = {
    "CALLERS_NAMESPACE": "maps", "NAMESPACE": "vision", "NAME": "sign-reader", "POOL": "ca-home-hw4",
    "CELL": "ca-home-hw4-0", "POD": "sign-reader-ca-home-hw4-0",
}  # fmt: skip
"""What stands for the names that a reader fills in."""
CHANGES = {"apply", "patch", "scale", "delete", "annotate", "cordon", "drain", "create"}
NOT_HERE = re.compile(
    r"not ?found|no matching resources|does not exist|doesn't have a resource type \"(podmonitor|prometheus)",
    re.IGNORECASE,
)
"""What pages name and no test has: the pods of an installation, a file of the reader's."""
SAMPLES = ("regions.yaml", "vehiclenodepool.yaml", "tritonpool.yaml", "workload.yaml")


@pytest.fixture(scope="module")
def objects(plane: Plane) -> Iterator[Plane]:
    """The examples, which the pages' commands are about."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vision"}}  # other tests have it too
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(space))
    files = [word for name in SAMPLES for word in ("-f", str(ROOT / "examples" / name))]
    try:
        plane.kubectl("apply", "--server-side", *files)
        yield plane
    finally:
        plane.kubectl("delete", "--ignore-not-found", *files)


def filled(command: Command) -> list[str]:
    words = [*command.words[1:]]
    for name, value in FOR.items():
        words = [re.sub(rf"\b{name}\b", value, word) for word in words]
    return words


UPSTREAM = list({it.words: it for it in commands("kubectl") if it.words[1:2] != ("parkade",)}.values())
"""Those of the plugin are looked at without a cluster: it has no dry run."""


@pytest.mark.parametrize("command", UPSTREAM, ids=str)
def test_kubectl_takes_the_command(command: Command, objects: Plane) -> None:
    kubectl = binaries.upstream("kubectl", print)
    words = filled(command)
    verb = next(word for word in words if re.fullmatch("[a-z][a-z-]*", word) and word != "parkade-system")
    dry = ["--dry-run=server"] if verb in CHANGES and "token" not in words else []
    more = dry if len(words) > 1 else ["--help"]  # a bare verb is spoken of, not run
    done = subprocess.run(
        [kubectl, *words, *more], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
        stdin=subprocess.DEVNULL, env=os.environ | {"KUBECONFIG": str(objects.kubeconfig)},
    )  # fmt: skip
    said = done.stderr + done.stdout
    assert done.returncode == 0 or NOT_HERE.search(said) or verb == "auth", said
    assert "unknown" not in done.stderr.lower(), said


@pytest.mark.parametrize("command", commands("helm"), ids=str)
def test_helm_takes_the_command(command: Command, helm: Path, render: Render) -> None:
    words = filled(command)
    done = subprocess.run([helm, *words, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    values = [pair for at, word in enumerate(words) if word.startswith("--set") for pair in (word, words[at + 1])]
    if values:
        assert render(*values)
