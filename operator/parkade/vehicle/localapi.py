"""The agent's own small HTTP API, on loopback or a Unix socket: what the owner sees and may do, without any network.

Whoever can read the token in the state directory is the owner; the file is readable by the agent's user alone.
"""

import asyncio
import hmac
import ipaddress
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from parkade.errors import InvalidInput
from parkade.vehicle import signals, terms
from parkade.vehicle.agent import Agent
from parkade.vehicle.books import shown_day
from parkade.vehicle.kserve import Answer, Receive, Scope, Send
from parkade.vehicle.link import Link
from parkade.vehicle.standing import standing
from parkade.vehicle.wire import address

MAX_BODY: Final = 64 * 1024


class LocalApi:
    """ASGI: what the owner sees and may do.

    `GET /v1/status`; `POST /v1/pause|resume|unplug|plug|forget-history`; with a JSON object `POST /v1/tighten|signals`.
    """

    def __init__(self, agent: Agent, link: Link, token: str) -> None:
        self._agent = agent
        self._link = link
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of the owner."""
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        given = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        if not hmac.compare_digest(given, self._token.encode()):
            answer = Answer.error(401, "send the token of the state directory as `Authorization: Bearer TOKEN`")
        else:
            answer = await self._answer(scope["method"], scope["path"], receive)
        lines = [(name.encode(), value.encode()) for name, value in answer.headers]
        lines.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": lines})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, method: str, path: str, receive: Receive) -> Answer:
        agent = self._agent
        plain: dict[str, Callable[[], None]] = {
            "/v1/pause": lambda: agent.pause(True),
            "/v1/resume": lambda: agent.pause(False),
            "/v1/unplug": agent.unplug,
            "/v1/plug": agent.plug,
            "/v1/forget-history": agent.forget_history,
        }
        if method == "GET" and path == "/v1/status":
            return Answer.of(status(agent, self._link))
        if method != "POST" or path not in (*plain, "/v1/tighten", "/v1/signals"):
            return Answer.error(404, f"there is no {method} {path[:200]} here; try GET /v1/status")
        try:
            if path in plain:
                plain[path]()
            elif path == "/v1/signals":
                agent.change_signals(await _object(receive))
            elif refusal := agent.tighten(await _object(receive)):
                return Answer.error(409, refusal.message)
        except InvalidInput as error:
            return Answer.error(400, str(error))
        return Answer.of(status(agent, self._link))


async def _object(receive: Receive) -> dict[str, Any]:
    body = b""
    more = True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
        if len(body) > MAX_BODY:
            raise InvalidInput(f"the body is larger than {MAX_BODY} bytes")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise InvalidInput("the body is not one JSON object")
    return fields


def status(agent: Agent, link: Link) -> dict[str, Any]:
    """Return all that the owner may want to know: what runs, what it used, and why nothing runs."""
    state = agent.state(link.rtt)
    connections = {key: replica.connections for key, replica in agent.replicas.items()}
    return {
        "vehicle": agent.identity.vehicle,
        "fleet": agent.identity.fleet,
        "cell": agent.desired.cell,
        "eligible": state["eligible"],
        "reason": state["reason"],
        "message": state["message"],
        "leaving": state["leaving"],
        "paused": agent.owner.paused,
        "state": state["state"],
        "forecast": {"stays": len(agent.dwelling.history.stays), "leavingWithin": agent.dwelling.said},
        "signals": signals.shown(agent.signals, agent.books.clock.elapsed),
        "fleetLink": {
            "connected": link.connected,
            "rttMillis": state["rttMillis"],
            "protocol": link.supported.sentence() if link.supported else "",
        },
        "contract": terms.shown(agent.contract),
        "notEnforced": list(agent.contract.not_enforced),
        "desired": agent.desired.revision,
        "assignments": [
            row | {"connections": connections.get((row["workload"], row["digest"]), 0)} for row in agent.assignments()
        ],
        "distrusted": agent.books.distrust.shown(agent.books.clock.elapsed),
        "used": agent.books.usage.shown(),
        "day": shown_day(agent.books),
        "terms": standing(agent),
        "alsoAgainst": [
            {"reason": str(refusal.reason), "message": refusal.message}
            for refusal in agent.refusals()
            if str(refusal.reason) != state["reason"]
        ],
        "history": agent.books.history.shown(),
        "ignoredMessages": agent.garbage,
    }


class Listener:
    """The API's socket; made by `listen`."""

    def __init__(self, server: asyncio.Server, place: str, protocols: ServerState) -> None:
        self.place = place
        """`127.0.0.1:PORT` or `unix:PATH`, as callers dial it."""
        self._server = server
        self._protocols = protocols

    async def close(self) -> None:
        """Listen no more and end open connections."""
        self._server.close()
        for protocol in list(self._protocols.connections):
            protocol.shutdown()
        await self._server.wait_closed()


async def listen(app: LocalApi, place: str) -> Listener:
    """Serve the API at `127.0.0.1:PORT` (0 chooses one) or `unix:PATH`.

    Raises:
        InvalidInput: the place is not local, or something else listens there.
    """
    config = Config(
        app, http="httptools", ws="none", lifespan="off", interface="asgi3", log_config=None, access_log=False,
        proxy_headers=False, server_header=False,
    )  # fmt: skip
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()

    def protocol() -> HttpToolsProtocol:
        return HttpToolsProtocol(config, state, {})

    try:
        if place.startswith("unix:"):
            server = await loop.create_unix_server(protocol, sock=_unix_socket(Path(place.removeprefix("unix:"))))
            return Listener(server, place, state)
        host, port = local_address(place)
        server = await loop.create_server(protocol, host, port)
    except OSError as error:
        raise InvalidInput(f"the local API cannot listen at {place}: {error.strerror}; choose another --api") from error
    name = f"[{host}]" if ":" in host else host
    return Listener(server, f"{name}:{server.sockets[0].getsockname()[1]}", state)


def _unix_socket(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    path.chmod(0o600)
    return listening


def local_address(place: str) -> tuple[str, int]:
    """Read `HOST:PORT` of this machine.

    Raises:
        InvalidInput: it is malformed or reachable from elsewhere.
    """
    try:
        host, port = address(place)
        if ipaddress.ip_address("127.0.0.1" if host == "localhost" else host).is_loopback and 0 <= port < 65536:
            return host, port
    except ValueError:
        pass
    raise InvalidInput(f"--api {place!r} is not local; write 127.0.0.1:PORT or unix:PATH")
