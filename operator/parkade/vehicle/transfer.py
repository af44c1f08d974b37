"""One download over HTTPS: piece by piece at the car's pace, resumable, following one redirect."""

import asyncio
import re
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import httpx

from parkade.errors import DigestMismatch, SourceUnavailable
from parkade.vehicle.backoff import retry_after
from parkade.vehicle.pace import Pace, Piece
from parkade.vehicle.part import Part

TIMEOUT: Final = httpx.Timeout(20.0, connect=10.0)
"""Seconds without a byte after which a download counts as interrupted; it resumes later."""
LONGEST_URL: Final = 8192
_REFUSALS: Final = (
    httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND, httpx.codes.GONE,
)  # fmt: skip
_REDIRECTS: Final = (httpx.codes.FOUND, httpx.codes.TEMPORARY_REDIRECT)
_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


class UrlRefused(SourceUnavailable):
    """The source answers, and not to this URL: it expired or was never right; carlet has to give another."""


class _Moved(Exception):
    def __init__(self, location: str) -> None:
        super().__init__()
        self.location = location


@dataclass(frozen=True, slots=True)
class Roads:
    """How transfers reach sources."""

    tls: Callable[[], ssl.SSLContext]
    """Of the model store itself; it may present the car's certificate."""
    strangers: Callable[[], ssl.SSLContext]
    """Of where the store redirects to: public authorities, and nothing that says who the car is."""
    pace: Pace
    received: Callable[[int], None]
    """Told of every byte of a body."""


class Transfer:
    """Fills a part from a URL; `unwanted` ends it between pieces, `interruptible` says when a cancel may hit it."""

    def __init__(self, roads: Roads, part: Part, size: int, url: str) -> None:
        self._roads = roads
        self._part = part
        self._size = size
        self._url = url
        self._moved: str | None = None
        self.unwanted = asyncio.Event()
        self.interruptible = asyncio.Event()

    async def run(self) -> None:
        """Download until all is there; see `Store.fetch` for what it raises."""
        self._roads.pace.fresh()
        try:
            async with AsyncExitStack() as stack:
                client = await self._client(stack, self._roads.tls)
                while self._part.offset < self._size:
                    await self._roads.pace.turn()
                    try:
                        await self._piece(client, self._moved or self._url)
                    except _Moved as moved:
                        self._moved = moved.location
                        client = await self._client(stack, self._roads.strangers)
                    if self.unwanted.is_set():
                        return
                    if self._part.due():
                        await asyncio.to_thread(self._part.mark)
        except httpx.HTTPError as error:
            raise SourceUnavailable(
                f"the download was interrupted ({type(error).__name__}); it goes on where it ended"
            ) from error
        finally:
            self._part.close()

    @staticmethod
    async def _client(stack: AsyncExitStack, tls: Callable[[], ssl.SSLContext]) -> httpx.AsyncClient:
        client = httpx.AsyncClient(verify=tls(), timeout=TIMEOUT, trust_env=False, follow_redirects=False)
        return await stack.enter_async_context(client)

    async def _piece(self, client: httpx.AsyncClient, url: str) -> None:
        """Ask for the next bytes and write what comes, up to what the pace allows at once."""
        begin = self._part.offset
        end = min(begin + self._roads.pace.size(), self._size)
        headers = {"accept-encoding": "identity", "range": f"bytes={begin}-{end - 1}"}
        piece = self._roads.pace.piece()
        self.interruptible.clear()
        try:
            async with client.stream("GET", url, headers=headers) as response:
                self.interruptible.set()
                if self.unwanted.is_set():
                    return
                if self._is_part(response, begin):
                    await self._receive(response, end, piece)
                else:
                    await self._receive_whole(response, piece)
        finally:
            self.interruptible.set()

    async def _receive(self, response: httpx.Response, end: int, piece: Piece) -> None:
        async for chunk in response.aiter_raw():
            piece.came(len(chunk))
            self._roads.received(len(chunk))
            self._part.write(chunk[: end - self._part.offset])
            if self._part.offset >= end or piece.overran:
                break
        piece.end()
        if self._part.offset < end and not piece.overran:
            raise SourceUnavailable("the download ended early; it goes on where it ended")

    async def _receive_whole(self, response: httpx.Response, piece: Piece) -> None:
        """A source without Range sends all: while the car rests it fills buffers, so only the first piece measures."""
        self._part.restart()
        first, asked = True, self._roads.pace.size()
        async for chunk in response.aiter_raw():
            piece.came(len(chunk))
            self._roads.received(len(chunk))
            if self._part.offset + len(chunk) > self._size:
                raise DigestMismatch(f"the store sends more than the {self._size} bytes announced; correct the source")
            self._part.write(chunk)
            if piece.received >= asked:
                piece.end(measures=first)
                first = False
                await self._roads.pace.turn()
                piece, asked = self._roads.pace.piece(), self._roads.pace.size()
        if self._part.offset < self._size:
            raise SourceUnavailable("the download ended early; it goes on where it ended")

    def _is_part(self, response: httpx.Response, begin: int) -> bool:
        """Whether the answer goes on at `begin`, or starts at the first byte because the source knows no Range."""
        status = response.status_code
        found = _RANGE.fullmatch(response.headers.get("content-range", ""))
        if status == httpx.codes.PARTIAL_CONTENT and found and int(found[1]) == begin:
            if found[3] not in ("*", str(self._size)):
                raise DigestMismatch(
                    f"the store holds {found[3]} bytes where {self._size} are announced; correct the source"
                )
            return True
        if status == httpx.codes.OK:
            return False
        if status in _REDIRECTS and "location" in response.headers:
            raise self._follow(response.headers["location"])
        if status in _REFUSALS and self._moved is None:
            raise UrlRefused(f"the store refuses the URL ({status}); carlet has to send a fresh one")
        if status in (httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE, httpx.codes.PARTIAL_CONTENT):
            self._part.remove()
        raise SourceUnavailable(
            f"the store answers {status}; the download is tried again", retry_after(response.headers)
        )

    def _follow(self, location: str) -> Exception:
        """One redirect, to HTTPS: a store hands over to its bucket, and nothing hands over further."""
        if self._moved is not None:
            return SourceUnavailable("the store redirects twice; let it name the artifact's own URL")
        try:
            target = httpx.URL(location)
        except httpx.InvalidURL:
            target = httpx.URL()
        if target.scheme != "https" or not target.host or target.userinfo or len(location) > LONGEST_URL:
            return SourceUnavailable("the store redirects to what is no HTTPS URL; correct carlet's redirect")
        return _Moved(location)
