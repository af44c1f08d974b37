"""Peers of the agent as fixtures; what they are is in `peers.py`."""

from collections.abc import Iterator

import pytest

from parkade.local.pki import Authority
from parkade.vehicle.tls import Certificates
from vehicle.peers import NatsServer, Pki, Shelf, free_port, handler_of, over_tls


@pytest.fixture(scope="session")
def pki(tmp_path_factory) -> Pki:
    authority = Authority(tmp_path_factory.mktemp("pki"))
    server = authority.issue("server", common_name="127.0.0.1", uris=("parkade://router/r",), listens=True)
    car = authority.issue("vehicle", common_name="vehicle", uris=("parkade://vehicle/owners-ca/v-1",))
    return Pki(authority, Certificates(authority.certificate, car.certificate, car.key), server.certificate, server.key)


@pytest.fixture
def anyio_backend() -> str:
    """Tests marked `anyio` run in a loop of the kind that the agent has."""
    return "asyncio"


@pytest.fixture
def shelf(pki) -> Iterator[Shelf]:
    shelf = Shelf()
    with over_tls(pki, handler_of(shelf)) as shelf.port:
        yield shelf


@pytest.fixture
def nats_server(pki, tmp_path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path, pki, free_port())
    server.start()
    yield server
    server.kill()
