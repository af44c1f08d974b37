"""Connections that the car dialled: each offers one slot to a workload's owner router, and an idle one is a credit."""

import asyncio
import json
import logging
import random
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from parkade.errors import InvalidInput, Unavailable
from parkade.vehicle.awaiting import first
from parkade.vehicle.backoff import Backoff, retry_after
from parkade.vehicle.kserve import KServe
from parkade.vehicle.reasons import ANSWERS, Reason, Refusal
from parkade.vehicle.tls import ROUTER, Certificates, is_router
from parkade.vehicle.wire import address

log = logging.getLogger(__name__)

PROTOCOL: Final = "parkade-serve/1"
PATIENCE: Final = 10.0
"""Seconds for each of: connect with TLS, the router's answer to the offer."""
MAX_HEAD: Final = 16 * 1024
"""Bytes of the router's answer to an offer."""
FIRST_WAIT: Final = 0.2
LONGEST_WAIT: Final = 10.0
"""Seconds between dials after failures, doubling, jittered."""
SOON: Final = 0.05
"""Seconds within which a router that sent requests is dialled again."""
LONGEST_RETRY_AFTER: Final = 60.0
"""Seconds beyond which no Retry-After of a router is heeded."""
HALF_OPEN: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Seconds, seconds, probes: an idle connection through a NAT that forgot it dies within a minute."""
NEVER: Final = 10 * 365 * 86400
"""Seconds; an idle connection is a credit, so the car never times it out."""


class RouterUnavailable(Unavailable):
    """The router does not take the offer now."""

    def __init__(self, sentence: str, retry_after: float = 0.0, reason: Reason = Reason.RouterUnavailable) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after
        self.reason = reason


class _Counted:
    """A transport that tells what is written to it; all else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, carried: Callable[[int], None]) -> None:
        self._transport = transport
        self._carried = carried

    def write(self, data: bytes) -> None:
        self._carried(len(data))
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- whatever the transport has
        return getattr(self._transport, name)


class _Serving(HttpToolsProtocol):
    """uvicorn's server protocol on a transport that the car dialled."""

    def __init__(self, app: KServe, carried: Callable[[int], None]) -> None:
        config = Config(
            app, http="httptools", ws="none", lifespan="off", interface="asgi3", log_config=None, access_log=False,
            proxy_headers=False, server_header=False, date_header=False, timeout_keep_alive=NEVER,
        )  # fmt: skip
        config.load()
        self.state = ServerState()
        super().__init__(config, self.state, {})
        self.access_log = False
        self.lost: asyncio.Future[None] = self.loop.create_future()
        self._carried = carried

    def connection_made(  # type: ignore[override]
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(cast("asyncio.Transport", _Counted(transport, self._carried)))

    def data_received(self, data: bytes) -> None:
        self._carried(len(data))
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.lost.done():
            self.lost.set_result(None)


class _Offer(asyncio.Protocol):
    """Sends the offer, reads the router's answer, and hands the transport over with whatever followed the answer."""

    def __init__(self, request: bytes, app: KServe, carried: Callable[[int], None]) -> None:
        self._request = request
        self._app = app
        self._carried = carried
        self._parser = httptools.HttpResponseParser(self)
        self._received = 0
        self._headers: dict[bytes, bytes] = {}
        self._body = b""
        self._transport: asyncio.Transport | None = None
        self.taken: asyncio.Future[_Serving] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 -- asyncio gives stream protocols stream transports
        self._transport = transport

    def send(self) -> None:
        """Make the offer to the router that answered the dial.

        Raises:
            RouterUnavailable: it is somebody else of the same authority.
        """
        assert self._transport is not None  # noqa: S101 -- a dial that is answered has one
        if not is_router(self._transport.get_extra_info("peercert")):
            raise RouterUnavailable(
                f"who answers is no router: its certificate has no URI name {ROUTER}<name>; issue the router's with one"
            )
        self._carried(len(self._request))
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        self._carried(len(data))
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._fail(RouterUnavailable("the router's answer is not HTTP"))
        if self._received > MAX_HEAD:
            self._fail(RouterUnavailable(f"the router's answer is longer than {MAX_HEAD} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() == 101:
            return
        reason = Reason.RouterUnavailable
        try:
            answer = json.loads(self._body)
            sentence = str(answer["error"])[:300]
            reason = next((word for word in ANSWERS if answer.get("reason") == word), reason)
        except (ValueError, KeyError, TypeError, AttributeError):
            sentence = "it gives no sentence"
        wait = retry_after({"retry-after": self._headers.get(b"retry-after", b"").decode("latin-1")})
        self._fail(RouterUnavailable(f"the router answers {self._parser.get_status_code()}: {sentence}", wait, reason))

    def _upgrade(self, rest: bytes) -> None:
        transport = self._transport
        if self._headers.get(b"upgrade", b"").decode("latin-1") != PROTOCOL or transport is None:
            self._fail(RouterUnavailable("the router switched to another protocol"))
            return
        if self.taken.done():
            return
        serving = _Serving(self._app, self._carried)
        transport.set_protocol(serving)
        serving.connection_made(transport)
        if rest:
            self._carried(-len(rest))  # they are counted once more where they are used
            serving.data_received(rest)
        self.taken.set_result(serving)

    def _fail(self, error: RouterUnavailable) -> None:
        self._refused(error)
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._refused(RouterUnavailable(f"the router hung up ({exc or 'closed'})"))

    def _refused(self, error: RouterUnavailable) -> None:
        if not self.taken.done():
            self.taken.set_exception(error)
            self.taken.exception()  # seen: a dial that was cancelled has nobody left who asks


@dataclass
class Credit:
    """One serving slot's connection to the owner router, dialled again for as long as it is not withdrawn."""

    offer: Callable[[], Mapping[str, str]]
    """The Parkade-* headers now."""
    app: KServe
    certificates: Certificates
    router: Callable[[], str]
    """The owner router's address now; empty while there is none."""
    said: Callable[[Refusal | None], None]
    """Told why the router does not take the offer; None when it does."""
    carried: Callable[[int], None] = lambda _: None
    """Told of bytes, both directions, without those of TLS."""
    _serving: _Serving | None = field(default=None, init=False)
    _withdrawn: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _moved: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    @property
    def open(self) -> bool:
        """Whether a connection stands that the router may use."""
        return self._serving is not None and not self._serving.transport.is_closing()

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        serving = self._serving
        return serving is not None and serving.cycle is not None and not serving.cycle.response_complete

    async def run(self) -> None:
        """Keep one connection; returns once withdrawn and quiet."""
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        while not self._withdrawn.is_set():
            self._moved.clear()
            try:
                if await self._serve_once():
                    backoff.reset()
                    pause = random.uniform(0.0, SOON)  # noqa: S311 -- spreads dials, hides nothing
                else:
                    pause = backoff.pause()
            except (RouterUnavailable, InvalidInput) as error:
                self.said(Refusal(getattr(error, "reason", Reason.RouterUnavailable), str(error)))
                pause = backoff.rest(min(getattr(error, "retry_after", 0.0), LONGEST_RETRY_AFTER))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._either(), pause)

    async def _either(self) -> None:
        await first(self._withdrawn.wait(), self._moved.wait())

    async def _serve_once(self) -> bool:
        """Dial, serve until the connection ends; whether it answered a request."""
        dial = asyncio.ensure_future(self._dial())
        stop = asyncio.ensure_future(self._either())
        try:
            await asyncio.wait({dial, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not dial.done():
                return False
            serving = self._serving = dial.result()
            if self._withdrawn.is_set() or self._moved.is_set():
                serving.shutdown()
            self.said(None)
            await serving.lost
            return serving.state.total_requests > 0
        finally:
            if self._serving is not None and not self._serving.lost.done():
                self._serving.transport.abort()
            self._serving = None
            stop.cancel()
            dial.cancel()

    async def _dial(self) -> _Serving:
        router = self.router()
        if not router:
            raise RouterUnavailable("no router owns this workload yet; carlet names one when it is ready")
        host, port = address(router)
        request = _request(router, self.offer())
        transport: asyncio.Transport | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                transport, protocol = await asyncio.get_running_loop().create_connection(
                    lambda: _Offer(request, self.app, self.carried), host, port, ssl=self.certificates.routers(),
                    server_hostname=host, ssl_handshake_timeout=PATIENCE, ssl_shutdown_timeout=2.0,
                )  # fmt: skip
                _keep_alive(transport)
                protocol.send()
                return await protocol.taken
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            if transport is not None:
                transport.abort()
            raise RouterUnavailable(f"the router {router} does not answer ({_short(error)})") from error
        except (asyncio.CancelledError, RouterUnavailable):
            if transport is not None:
                transport.abort()
            raise

    def withdraw(self) -> None:
        """Close the connection now if it is idle, after its request if it is not, and dial no more."""
        self._withdrawn.set()
        if self._serving is not None:
            self._serving.shutdown()

    def move(self) -> None:
        """Dial again, because the workload has another owner router."""
        self._moved.set()
        if self._serving is not None:
            self._serving.shutdown()

    def abort(self) -> None:
        """Drop the connection with whatever it carries; for a drain that took too long."""
        self._withdrawn.set()
        if self._serving is not None:
            self._serving.transport.abort()


def _request(router: str, offer: Mapping[str, str]) -> bytes:
    lines = {"Host": router, "Connection": "Upgrade", "Upgrade": PROTOCOL, **offer, "Content-Length": "0"}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /v1/serve HTTP/1.1\r\n{head}\r\n".encode("ascii")


def _keep_alive(transport: asyncio.Transport) -> None:
    sock: Any = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in HALF_OPEN.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _short(error: BaseException) -> str:
    return getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__
