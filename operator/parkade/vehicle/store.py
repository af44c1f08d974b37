"""Models by digest on the car's disk: fetched over HTTPS with Range, verified, and within a quota."""

import asyncio
import hashlib
import logging
import shutil
from pathlib import Path
from typing import Final

from parkade.errors import DigestMismatch, ParkadeError
from parkade.vehicle.part import Part
from parkade.vehicle.runtime import ALONE
from parkade.vehicle.transfer import Roads, Transfer
from parkade.vehicle.wire import DIGEST
from parkade.vehicle.worth import Worth

log = logging.getLogger(__name__)

SPARE: Final = 64 * 2**20
"""Bytes of the disk that models leave free, for the car's own notes and logs."""


class DiskFull(ParkadeError):
    """The artifact does not fit beside what the car must keep."""


class Store:
    """Verified artifacts as `<directory>/<digest>`, unfinished ones as `<digest>.part` with `<digest>.mark`."""

    def __init__(self, directory: Path, quota: int, roads: Roads, boot: str) -> None:
        self._directory = directory
        self._quota = quota
        self._roads = roads
        self._boot = boot
        self._transfers: set[asyncio.Task[None]] = set()
        directory.mkdir(parents=True, exist_ok=True)
        for left in directory.glob(f"{ALONE}*"):  # by a process that was killed while it loaded
            shutil.rmtree(left, ignore_errors=True)
        self._worth = Worth(directory.with_name("worth.json"))

    def held(self) -> tuple[str, ...]:
        """Return the digests on disk, verified when they came."""
        return tuple(sorted(path.name for path in self._directory.iterdir() if DIGEST.fullmatch(path.name)))

    async def verified(self, digest: str) -> Path | None:
        """Return the artifact's path after reading it again, or None; a file that rotted on disk is removed."""
        path = self._directory / digest
        if not path.is_file():
            return None
        if await asyncio.to_thread(_sha256, path) == digest:
            self._worth.used(digest, path.stat().st_size)
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
        await self.close()  # of a cancelled transfer, which may write to the same part
        self._make_room(digest, size, keep | {digest})
        part = Part(self._directory, digest, self._boot)
        for again in (False, True):
            begun = await asyncio.to_thread(part.resume, size)
            try:
                if part.offset < size:
                    await self._transfer(Transfer(self._roads, part, size, url))
                await asyncio.to_thread(part.mark)
                found = await asyncio.to_thread(_sha256, part.path)
            except DigestMismatch:
                part.remove()
                raise
            if found == digest:
                break
            part.remove()
            if again or not begun:
                raise DigestMismatch(
                    f"the store sent sha256 {found[:12]}... where {digest[:12]}... was ordered; "
                    "correct artifacts.sha256 or the source"
                )
            # what an earlier try left on disk may have rotted: that is not the source's fault
        path = await asyncio.to_thread(part.finish)
        self._worth.came(digest, size, self._roads.pace.measured)
        return path

    async def _transfer(self, transfer: Transfer) -> None:
        """Download as a task of its own: httpcore leaks the socket when it is cancelled in a TLS handshake.

        A cancelled transfer therefore ends after its handshake (at most `TIMEOUT.connect`), and at once in its body.
        """
        task = asyncio.create_task(transfer.run())
        self._transfers.add(task)
        task.add_done_callback(self._ended)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            transfer.unwanted.set()
            if transfer.interruptible.is_set():
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

    def _make_room(self, digest: str, size: int, keep: frozenset[str]) -> None:
        """Evict what is cheapest to have again, of what nothing refers to, until `size` bytes fit quota and disk."""
        held = self._sizes()
        others = sum(taken for name, taken in held.items() if name != digest)
        room = min(self._quota, others + held.get(digest, 0) + shutil.disk_usage(self._directory).free - SPARE)
        spare = {name: taken for name, taken in held.items() if name not in keep and name != digest}
        if others - sum(spare.values()) + size > room:
            raise DiskFull(
                f"{size} bytes are wanted and {sum(spare.values())} of {others} may go, of the {max(room, 0)} that "
                "models may take; raise --disk, free the car's disk, or place fewer models"
            )
        for victim in self._worth.order(spare):
            if others + size <= room:
                return
            others -= spare[victim]
            self._worth.evict(victim)
            log.info(
                "a model of %d bytes goes for one of %d bytes: of %d that nothing refers to it is the cheapest to have "
                "again", spare[victim], size, len(spare),
            )  # fmt: skip
            for path in self._directory.glob(f"{victim}*"):
                path.unlink(missing_ok=True)

    def _sizes(self) -> dict[str, int]:
        """Bytes on disk by digest, unfinished ones too; what is no artifact's is removed."""
        sizes: dict[str, int] = {}
        for path in self._directory.iterdir():
            if path.is_dir():
                continue
            if not DIGEST.fullmatch(path.stem):
                path.unlink(missing_ok=True)
                continue
            sizes[path.stem] = sizes.get(path.stem, 0) + path.stat().st_size
        return sizes


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
