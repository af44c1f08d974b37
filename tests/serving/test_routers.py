"""Reading what a router observed, from servers that answer well and badly."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from parkade.errors import RouterUnavailable
from parkade.local import ports
from parkade.serving import read_observed

GOOD = b"""{"version":1,"router":"router-0","seconds":812.4,"later":1,"workloads":{"vision/sign-reader":{"waiting":2,
"regions":{"us-ca":9120,"":3},"answered":[[0.01024,9000]],"hardware":{"hw4":{"count":2,"seconds":0.5,"squaredSeconds":0.2}},
"places":{},"outcomes":{"answered":9000},"retries":{},"verifications":{"disagreed":1}}}}"""


@pytest.fixture
def said() -> list[tuple[int, bytes]]:
    return [(200, GOOD)]


@pytest.fixture
def address(said: list[tuple[int, bytes]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = said[0] if self.path == "/v1/observed" else (404, b"")
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_report_is_read_and_what_comes_later_is_ignored(address: str) -> None:
    with httpx.Client() as client:
        report = read_observed(client, address, 5.0)
    counts = report.workloads["vision/sign-reader"]
    assert (report.router, counts.waiting, counts.regions[""]) == ("router-0", 2, 3)
    assert counts.answered == ((0.01024, 9000),)
    assert counts.hardware["hw4"].squared_seconds == 0.2


@pytest.mark.parametrize("answer", [(500, GOOD), (200, b"<html>"), (200, b'{"router":"r","seconds":-1}'), (404, b"")])
def test_what_is_no_report_is_told_in_a_sentence(address: str, said: list, answer: tuple[int, bytes]) -> None:
    said[0] = answer
    with httpx.Client() as client, pytest.raises(RouterUnavailable, match="check that the operator reaches its"):
        read_observed(client, address, 5.0)


def test_nobody_there_is_told_too() -> None:
    (port,) = ports.choose(1)
    with httpx.Client() as client, pytest.raises(RouterUnavailable, match=f"127.0.0.1:{port}"):
        read_observed(client, f"127.0.0.1:{port}", 1.0)
