"""The fleet link: this car's subjects on NATS, dialled out for ever. Losing it changes nothing that runs."""

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from parkade.errors import Unavailable
from parkade.vehicle.awaiting import first
from parkade.vehicle.backoff import Backoff, jittered
from parkade.vehicle.enrolment import Enrolment, FleetUnavailable, NotLetIn
from parkade.vehicle.wire import Garbage, Identity, Supported, encode, read_supported, write_beat

log = logging.getLogger(__name__)

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 10.0
"""Seconds that bound the first and any pause between dials."""
CROWDED_WAIT: Final = 60.0
"""The same once somebody answers, and does not get to the end of a handshake: others dial too."""
CONNECT_TIMEOUT: Final = 10
PING: Final = 600
"""Seconds between the library's own pings; with one unanswered the link counts as lost. Each beat is one, too."""
FLUSH_TIMEOUT: Final = 10
REFUSED_WAIT: Final = 300.0
"""Seconds, with half of it as jitter, before a car that its fleet refuses asks again."""
RENEW_RETRY: Final = (5.5, 600.0)
"""Seconds between requests to renew that nobody answers, doubling; carlet answers a car once in 5 s."""
BEAT_JITTER: Final = 0.1
COALESCE: Final = 0.02
"""Seconds in which further changes join one state message."""
RTT_STEP: Final = 0.25
"""Relative change of the round trip below which the state is not said again, and 2 ms at least."""
RTT_WEIGHT: Final = 0.125
"""Of a new measurement in the smoothed round trip, as in TCP (RFC 6298): a jittering link is no news at every beat."""

logging.getLogger("nats").setLevel(logging.CRITICAL)  # its failures arrive here as exceptions and are logged once


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the fleet link is and how the car proves itself there."""

    url: str
    credentials: Path | None
    tls: Callable[[], ssl.SSLContext] | None
    """Makes the context; None only where a test speaks plain text."""
    enrolment: Enrolment | None = None
    """What renews the credentials; None where somebody else does."""


class Link:
    """Says hello, state and beats, and hands desired sets over."""

    def __init__(self, identity: Identity, endpoint: Endpoint, receive: Callable[[bytes], None]) -> None:
        self._identity = identity
        self._endpoint = endpoint
        self._receive = receive
        self._news = asyncio.Event()
        self._greet = False
        self._doubtful = False
        self._sequence = 0
        self._smooth: float | None = None
        self.connected = False
        self.rtt = 0.0
        """Seconds of a round trip to the server, as last said."""
        self.supported: Supported | None = None
        """What carlet said of the protocol; None while it understands all."""
        self.carried: Callable[[int], None] = lambda _: None
        """Told of the bytes of messages, both directions."""
        self.hello: Callable[[], dict[str, Any]] = dict
        self.state: Callable[[float], dict[str, Any]] = lambda rtt: {"rttMillis": rtt}

    def news(self) -> None:
        """Say hello or state again where their content changed."""
        self._news.set()

    def ask(self) -> None:
        """Say hello again even if nothing changed; carlet answers with fresh URLs."""
        self._greet = True
        self._news.set()

    async def run(self) -> None:
        """Keep the link until cancelled; whatever fails, it dials again."""
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        said = ""
        while True:
            closed = asyncio.Event()
            client = Client()
            failure: Exception | None = None
            try:
                await self._refresh()
                await self._connect(client, closed)
                said = ""
                backoff.reset()
                log.info("the fleet link is up")
                await self._talk(client, closed)
            except Exception as error:  # noqa: BLE001 -- whatever the link or its library does, the car goes on serving
                failure, self._doubtful = error, _unauthorised(error)
                sentence = f"{type(error).__name__}: {error}"
                if sentence != said:
                    log.warning("no fleet link (%s); what runs goes on, and the car dials again", sentence)
                said = sentence
            finally:
                self.connected = False
                await _close(client)
            await asyncio.sleep(_pause(backoff, failure))

    async def _refresh(self) -> None:
        """Get credentials by the car's key when those held are past, or the server does not take them."""
        enrolment = self._endpoint.enrolment
        if enrolment is None or not (enrolment.expired or self._doubtful):
            return
        self._doubtful = False
        try:
            await asyncio.to_thread(enrolment.renew_by_key)
        except Unavailable:
            if enrolment.expired:
                raise
        else:
            log.info("the car has new credentials, by its key")

    async def _connect(self, client: Client, closed: asyncio.Event) -> None:
        async def on_closed() -> None:
            closed.set()

        async def on_error(error: Exception) -> None:
            log.debug("fleet link: %s", error)

        endpoint, identity = self._endpoint, self._identity
        secure = endpoint.tls() if endpoint.tls else None
        await client.connect(
            [_secured(endpoint.url) if secure else endpoint.url],
            tls=secure,
            user_credentials=str(endpoint.credentials) if endpoint.credentials else None,
            name="parkade vehicle",  # the server logs it
            inbox_prefix=f"_INBOX.{identity.fleet}.{identity.vehicle}",
            allow_reconnect=False,
            connect_timeout=CONNECT_TIMEOUT,
            ping_interval=PING,
            max_outstanding_pings=1,
            closed_cb=on_closed,
            disconnected_cb=on_closed,
            error_cb=on_error,
        )
        # nats-py speaks TLS exactly when the server asks for it; a stranger in between would not ask
        if secure and not client._server_info.get("tls_required"):  # noqa: SLF001 -- there is no public word for it
            raise ConnectionError("the server does not speak TLS")

    async def _talk(self, client: Client, closed: asyncio.Event) -> None:
        """Say everything once, then what changes, until the connection ends."""
        enrolment = self._endpoint.enrolment

        async def on_desired(message: Msg) -> None:
            self._receive(message.data)

        async def on_supported(message: Msg) -> None:
            self._learn(message.data)

        async def on_credentials(message: Msg) -> None:
            if enrolment is not None and enrolment.receive(message.data):
                log.info("the car has new credentials, and dials again with them")
                closed.set()

        for kind, hear in (("desired", on_desired), ("supported", on_supported), ("credentials", on_credentials)):
            await client.subscribe(self._identity.subject(kind), cb=self._counted(hear))
        await self._measure(client)
        self.connected = True
        tasks = [asyncio.create_task(self._beat(client, closed))]
        if enrolment is not None:
            tasks.append(asyncio.create_task(self._renew(client, closed, enrolment)))
        heard: dict[str, dict[str, Any]] = {}
        try:
            while not closed.is_set():
                self._news.clear()
                await self._say_changes(client, heard)
                await first(closed.wait(), self._news.wait())
                await asyncio.sleep(COALESCE)
        finally:
            for task in tasks:
                task.cancel()
        log.warning("the fleet link ends; what runs goes on, and the car dials again")

    def _counted(self, hear: Callable[[Msg], Awaitable[None]]) -> Callable[[Msg], Awaitable[None]]:
        async def heard(message: Msg) -> None:
            self.carried(len(message.data))
            await hear(message)

        return heard

    def _learn(self, payload: bytes) -> None:
        """Take what carlet says of the protocol; it speaks only when it did not understand all of a hello."""
        try:
            supported = read_supported(payload)
        except Garbage as error:
            log.warning("an answer about the protocol is ignored: %s", error)
            return
        if supported != self.supported:
            self.supported = supported
            log.warning("%s", supported.sentence())

    async def _say_changes(self, client: Client, heard: dict[str, dict[str, Any]]) -> None:
        """Hello first: it is what makes carlet listen to a state."""
        hello = self.hello()
        # what the car is told back is no news to who told it
        identity = {name: value for name, value in hello.items() if name != "desired"}
        if self._greet or heard.get("hello") != identity:
            self._greet = False
            heard["hello"] = identity
            await self._say(client, "hello", hello)
        state = self.state(self.rtt)
        if heard.get("state") != state:
            heard["state"] = state
            await self._say(client, "state", state)

    async def _say(self, client: Client, kind: str, message: dict[str, Any]) -> None:
        payload = encode(message)
        self.carried(len(payload))
        await client.publish(self._identity.subject(kind), payload)

    async def _beat(self, client: Client, closed: asyncio.Event) -> None:
        period = self._identity.beat
        while True:
            await asyncio.sleep(period * random.uniform(1 - BEAT_JITTER, 1 + BEAT_JITTER))  # noqa: S311
            try:
                self._sequence += 1
                await self._say(client, "beat", write_beat(self._identity, self._sequence))
                await self._measure(client)
            except Exception as error:  # noqa: BLE001 -- a link that does not carry a beat is lost, whatever it says
                log.debug("beat: %s", error)
                closed.set()
                return

    async def _renew(self, client: Client, closed: asyncio.Event, enrolment: Enrolment) -> None:
        """Ask for new credentials in good time, again and again until they come; each answer ends this connection."""
        pause, longest = RENEW_RETRY
        await asyncio.sleep(max(0.0, enrolment.due()))
        while not closed.is_set():
            with suppress(Exception):  # a link that carries nothing is found out by its beats
                await self._say(client, "renew", enrolment.ask())
            await asyncio.sleep(random.uniform(pause, pause * 1.5))  # noqa: S311
            pause = min(pause * 2, longest)

    async def _measure(self, client: Client) -> None:
        """Measure a round trip, and find out that a half-open connection is dead."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        await client.flush(timeout=FLUSH_TIMEOUT)
        measured = loop.time() - start
        self._smooth = measured if self._smooth is None else self._smooth + RTT_WEIGHT * (measured - self._smooth)
        rtt = self._smooth
        if abs(rtt - self.rtt) > max(0.002, RTT_STEP * self.rtt):
            self.rtt = rtt
            self._news.set()


def _secured(url: str) -> str:
    """A car with an authority never speaks plain text, whatever the URL's scheme says."""
    return urlsplit(url)._replace(scheme="tls").geturl()


def _pause(backoff: Backoff, failure: Exception | None) -> float:
    """Seconds until the next dial."""
    if isinstance(failure, NotLetIn):
        return jittered(REFUSED_WAIT)
    if isinstance(failure, FleetUnavailable):
        return backoff.pause(asked=failure.retry_after)
    return backoff.pause(longest=CROWDED_WAIT if _crowded(failure) else LONGEST_WAIT)


def _crowded(failure: Exception | None) -> bool:
    """Whether somebody is there and did not let the car in, rather than nobody."""
    if isinstance(failure, OSError):
        return isinstance(failure, ssl.SSLError | ConnectionResetError | BrokenPipeError | TimeoutError)
    return failure is not None and not _unauthorised(failure)


def _unauthorised(error: Exception) -> bool:
    """Whether the server does not take the credentials; its library has one class for all that a server says."""
    return isinstance(error, errors.Error) and "auth" in str(error).lower()


async def _close(client: Client) -> None:
    with suppress(Exception):
        async with asyncio.timeout(2.0):
            await client.close()
