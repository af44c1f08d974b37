"""Peers of the agent as fixtures; what they are is in `peers.py`."""

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest

from parkade.local.pki import Authority
from parkade.vehicle.tls import Certificates
from vehicle.peers import NatsServer, Pki, Shelf, free_port, handler_of


@pytest.fixture(scope="session")
def pki(tmp_path_factory) -> Pki:
    authority = Authority(tmp_path_factory.mktemp("pki"))
    server = authority.issue("server", common_name="127.0.0.1")
    car = authority.issue("vehicle", common_name="vehicle", uris=("parkade://vehicle/owners-ca/v-1",))
    return Pki(Certificates(authority.certificate, car.certificate, car.key), server.certificate, server.key)


@pytest.fixture
def shelf(pki) -> Iterator[Shelf]:
    shelf = Shelf()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(shelf))
    server.daemon_threads = True
    server.socket = pki.server_context().wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    shelf.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield shelf
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def nats_server(pki, tmp_path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path, pki, free_port())
    server.start()
    yield server
    server.kill()
