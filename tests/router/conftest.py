"""The router, and what it is tested with, built once; and fresh peers for every test."""

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from parkade.local.paths import cache_directory
from parkade.local.pki import Authority
from router.doubler import DoublerServer
from router.links import Relay, relay
from router.peers import Router
from router.places import Car, Datacenter, Fleet
from router.several import Routers

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "kernels"


def _builds(program: str = "parkade-router") -> list[Path]:
    target = Path(os.environ.get("CARGO_TARGET_DIR", KERNELS / "target"))
    return [target / profile / program for profile in ("release", "debug")]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing: minutes when cold, which no test's timeout should have to cover."""
    if session.config.option.collectonly:
        return
    items = [item for item in session.items if Path(__file__).parent in item.path.parents]
    if items and "ROUTER_BIN" not in os.environ:
        _build("parkade-router")
    if any("relayed" in getattr(item, "fixturenames", ()) for item in items):
        _build("parkade-loadbench")


def _build(program: str) -> None:
    if not any(path.exists() for path in _builds(program)):
        # As the router was built, so that what both use is compiled once.
        flags = ["--release"] if _builds()[0].exists() else []
        subprocess.run(["cargo", "build", "--locked", *flags, "-p", program], cwd=KERNELS, check=True)


@pytest.fixture(scope="session")
def router_binary() -> Path:
    """`ROUTER_BIN`, or the newest build of this checkout."""
    if chosen := os.environ.get("ROUTER_BIN"):
        return Path(chosen)
    return max((path for path in _builds() if path.exists()), key=lambda path: path.stat().st_mtime)


@pytest.fixture(scope="session")
def ghz() -> Path:
    """The load generator for gRPC, from `e2e/ghz/go.mod`; built once for its version, half a minute on 2 cores."""
    module = ROOT / "e2e" / "ghz"
    key = hashlib.sha256((module / "go.mod").read_bytes() + (module / "go.sum").read_bytes()).hexdigest()[:12]
    binary = cache_directory() / "ghz" / key / "ghz"
    if not binary.exists():
        command = [
            "go",
            "build",
            "-trimpath",
            "-ldflags",
            "-s -w",
            "-o",
            f"{binary}.new",
            "github.com/bojand/ghz/cmd/ghz",
        ]
        binary.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(command, cwd=module, check=True)
        Path(f"{binary}.new").rename(binary)
    return binary


@pytest.fixture
def relayed() -> Iterator[Callable[..., Relay]]:
    """Starts relays before addresses."""
    binary = max(
        (path for path in _builds("parkade-loadbench") if path.exists()), key=lambda path: path.stat().st_mtime
    )
    with contextlib.ExitStack() as stack:
        yield lambda address, **link: stack.enter_context(relay(binary, address, **link))


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


@pytest.fixture
def routers(router_binary: Path, authority: Authority, tmp_path: Path) -> Iterator[Routers]:
    routers = Routers(router_binary, authority, tmp_path)
    yield routers
    routers.stop()


@pytest.fixture
def joined(authority: Authority) -> Iterator[Callable[[Router, str], Car]]:
    """Cars that dial a given router."""
    fleets: list[Fleet] = []

    def join(router: Router, name: str) -> Car:
        fleet = Fleet(authority, lambda: router.cars)
        fleets.append(fleet)
        return fleet.joined(name)[0]

    yield join
    for fleet in fleets:
        fleet.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoublerServer]:
    with DoublerServer(tmp_path_factory.mktemp("triton")) as server:
        yield server
