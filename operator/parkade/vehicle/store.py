"""Models by digest on the car's disk: fetched over HTTPS with Range, verified, and within a quota."""

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx

from parkade.errors import DigestMismatch, ParkadeError, SourceUnavailable
from parkade.vehicle.wire import DIGEST

TIMEOUT: Final = httpx.Timeout(20.0, connect=10.0)
"""Seconds without a byte after which a download counts as interrupted; it resumes later."""


class UrlRefused(SourceUnavailable):
    """The source answers, and not to this URL: it expired or was never right; carlet has to give another."""


class DiskFull(ParkadeError):
    """The artifact does not fit beside what the car must keep."""


class Store:
    """Verified artifacts as `<directory>/<digest>`, unfinished ones as `<digest>.part`."""

    def __init__(
        self, directory: Path, quota: int, tls: Callable[[], ssl.SSLContext], received: Callable[[int], None]
    ) -> None:
        self._directory = directory
        self._quota = quota
        self._tls = tls
        self._received = received
        self._transfers: set[asyncio.Task[None]] = set()
        directory.mkdir(parents=True, exist_ok=True)

    def held(self) -> tuple[str, ...]:
        """Return the digests on disk, verified when they came."""
        return tuple(sorted(path.name for path in self._directory.iterdir() if DIGEST.fullmatch(path.name)))

    async def verified(self, digest: str) -> Path | None:
        """Return the artifact's path after reading it again, or None; a file that rotted on disk is removed."""
        path = self._directory / digest
        if not path.is_file():
            return None
        if await asyncio.to_thread(_sha256, path) == digest:
            path.touch()
            return path
        path.unlink(missing_ok=True)
        return None

    async def fetch(self, digest: str, size: int, url: str, keep: frozenset[str]) -> Path:
        """Fetch an artifact, going on where an interrupted fetch ended, and verify it.

        Args:
            digest: sha256 in hexadecimal.
            size: bytes of the whole; a source that sends more is cut off.
            url: signed; it appears in no message.
            keep: digests that may not be evicted to make room.

        Raises:
            SourceUnavailable: interrupted or not answered; what came is kept for the next try.
            UrlRefused: the source wants another URL.
            DigestMismatch: the bytes are not those named; they are removed.
            DiskFull: there is no room even after eviction.
        """
        self._make_room(digest, size, keep | {digest})
        part = self._directory / f"{digest}.part"
        if _size(part) > size:
            part.unlink()
        if not part.exists() or _size(part) < size:
            await self._transfer(part, size, url)
        found = await asyncio.to_thread(_sha256, part)
        if found != digest:
            part.unlink(missing_ok=True)
            raise DigestMismatch(
                f"the store sent sha256 {found[:12]}... where {digest[:12]}... was ordered; "
                "correct artifacts.sha256 or the source"
            )
        return part.rename(self._directory / digest)

    async def _transfer(self, part: Path, size: int, url: str) -> None:
        """Download as a task of its own: httpcore leaks the socket when it is cancelled in a TLS handshake.

        A cancelled transfer therefore ends after its handshake (at most `TIMEOUT.connect`), and at once in its body.
        """
        if self._transfers:
            await asyncio.wait(self._transfers)
        connected, unwanted = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(self._download(part, size, url, (connected, unwanted)))
        self._transfers.add(task)
        task.add_done_callback(self._ended)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            unwanted.set()
            if connected.is_set():
                task.cancel()
            raise

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._transfers.discard(task)
        if not task.cancelled():
            task.exception()  # who waited has seen it; who was cancelled does not want it

    async def close(self) -> None:
        """Wait for transfers that were cancelled."""
        if self._transfers:
            await asyncio.wait(self._transfers)

    async def _download(self, part: Path, size: int, url: str, flags: tuple[asyncio.Event, asyncio.Event]) -> None:
        connected, unwanted = flags
        begin = _size(part)
        headers = {"accept-encoding": "identity"} | ({"range": f"bytes={begin}-"} if begin else {})
        try:
            async with (
                httpx.AsyncClient(verify=self._tls(), timeout=TIMEOUT, trust_env=False) as client,
                client.stream("GET", url, headers=headers) as response,
            ):
                connected.set()
                if unwanted.is_set():
                    return
                begin = _begin(response, begin, part)
                await self._receive(response, part, begin, size)
        except httpx.HTTPError as error:
            raise SourceUnavailable(
                f"the download was interrupted ({type(error).__name__}); it goes on where it ended"
            ) from error
        if _size(part) < size:
            raise SourceUnavailable("the download ended early; it goes on where it ended")

    async def _receive(self, response: httpx.Response, part: Path, begin: int, size: int) -> None:
        with part.open("r+b" if begin else "wb") as file:
            file.seek(begin)
            async for (
                chunk
            ) in response.aiter_raw():  # as it comes: a chunk size would hold back what an interruption loses
                self._received(len(chunk))
                begin += len(chunk)
                if begin > size:
                    file.truncate(0)
                    raise DigestMismatch(f"the store sends more than the {size} bytes announced; correct the source")
                file.write(chunk)

    def _make_room(self, digest: str, size: int, keep: frozenset[str]) -> None:
        """Evict the least recently loaded digests that nothing refers to, until `size` more bytes fit the quota."""
        files = sorted((path for path in self._directory.iterdir() if path.is_file()), key=lambda p: p.stat().st_mtime)
        used = sum(path.stat().st_size for path in files if path.name != f"{digest}.part")
        for path in files:
            if used + size <= self._quota:
                return
            if path.stem not in keep:
                used -= path.stat().st_size
                path.unlink(missing_ok=True)
        if used + size > self._quota:
            raise DiskFull(
                f"{size} bytes do not fit into the car's {self._quota} bytes for models; "
                "raise --disk or place fewer models"
            )


def _begin(response: httpx.Response, asked: int, part: Path) -> int:
    """Return the offset at which the body starts; a source without Range starts again at 0."""
    status = response.status_code
    if status == httpx.codes.PARTIAL_CONTENT and response.headers.get("content-range", "").startswith(
        f"bytes {asked}-"
    ):
        return asked
    if status == httpx.codes.OK:
        return 0
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND, httpx.codes.GONE):
        raise UrlRefused(f"the store refuses the URL ({status}); carlet has to send a fresh one")
    if status in (httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE, httpx.codes.PARTIAL_CONTENT):
        part.unlink(missing_ok=True)
    raise SourceUnavailable(f"the store answers {status}; the download is tried again")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
