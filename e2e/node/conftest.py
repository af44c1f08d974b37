"""One node for all tests of the chart on real pods, and a Triton server beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from go_tools import go_tool
from localnode import images, programs
from localnode.node import Node
from localnode.release import Release

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A Ready node with the images of this checkout."""
    if reason := programs.unfit():
        pytest.skip(reason)
    archives = images.write_all(tmp_path_factory.mktemp("images"), print)
    with Node.running(tmp_path_factory.mktemp("node"), archives, print) as node:
        yield node


@pytest.fixture(scope="session")
def prepared(node: Node) -> Release:
    """All that an installation needs, and no release yet."""
    helm = go_tool(ROOT, "helm", "helm.sh/helm/v4/cmd/helm")
    release = Release(node, helm, ROOT / "charts" / "parkade", Path(__file__).with_name("values.yaml"))
    release.prepare()
    return release
