"""The router built once, and fresh peers for every test."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from parkade.local.pki import Authority
from router.peers import Router
from router.places import Datacenter, Fleet
from router.triton_server import LocalTriton

KERNELS = Path(__file__).resolve().parents[2] / "kernels"


def _builds() -> list[Path]:
    target = Path(os.environ.get("CARGO_TARGET_DIR", KERNELS / "target"))
    return [target / profile / "parkade-router" for profile in ("release", "debug")]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the router where it is missing: minutes when cold, which no test's timeout should have to cover."""
    wanted = any(Path(__file__).parent in item.path.parents for item in session.items)
    if not wanted or session.config.option.collectonly or "ROUTER_BIN" in os.environ:
        return
    if not any(path.exists() for path in _builds()):
        subprocess.run(["cargo", "build", "--locked", "-p", "parkade-router"], cwd=KERNELS, check=True)


@pytest.fixture(scope="session")
def router_binary() -> Path:
    """`ROUTER_BIN`, or the newest build of this checkout."""
    if chosen := os.environ.get("ROUTER_BIN"):
        return Path(chosen)
    return max((path for path in _builds() if path.exists()), key=lambda path: path.stat().st_mtime)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def router(router_binary: Path, authority: Authority, tmp_path: Path) -> Iterator[Router]:
    """A router that is started by the test with its placements."""
    router = Router(router_binary, authority, tmp_path)
    yield router
    router.stop()


@pytest.fixture
def fleet(authority: Authority, router: Router) -> Iterator[Fleet]:
    fleet = Fleet(authority, lambda: router.cars)
    yield fleet
    fleet.stop()


@pytest.fixture
def datacenter() -> Iterator[Datacenter]:
    datacenter = Datacenter().start()
    yield datacenter
    datacenter.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTriton]:
    server = LocalTriton(tmp_path_factory.mktemp("triton"))
    try:
        server.start()
        yield server
    finally:
        if server.process:
            server.kill()
