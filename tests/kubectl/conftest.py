"""The plugin installed for kubectl, and a cluster for it to look at."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.world import World, operated
from kubectl.plugin import Plugin, install
from parkade.local import binaries
from parkade.local.plane import Plane


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory, repository_root: Path) -> Path:
    return install(repository_root, tmp_path_factory.mktemp("scripts"))


@pytest.fixture
def plugin(plane: Plane, scripts: Path) -> Plugin:
    return Plugin(binaries.upstream("kubectl", print), scripts, plane.kubeconfig)


@pytest.fixture(scope="module")
def world(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An operator that leads, a cell whose cars serve a workload, a router's and a carlet's Lease."""
    with operated(plane, tmp_path_factory.mktemp("world")) as world:
        world.announce_carlet()
        world.operate("one")
        world.serve()
        yield world
