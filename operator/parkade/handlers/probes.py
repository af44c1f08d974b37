"""Answers /healthz and /readyz for Kubernetes."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Check = Callable[[], str]
"""Returns why it is not so; empty when it is."""


class Probes:
    """A small HTTP server: 200, or 503 with the reason."""

    def __init__(self, port: int, checks: dict[str, Check]) -> None:
        self._server = ThreadingHTTPServer(("", port), _handler(checks))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="probes", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens; useful when 0 was asked for."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


def _handler(checks: dict[str, Check]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            check = checks.get(self.path)
            problem = check() if check is not None else "no such probe"
            body = (problem or "ok").encode()
            self.send_response(404 if check is None else 503 if problem else 200)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
            """Probes come every few seconds; they are no news."""

    return Handler
