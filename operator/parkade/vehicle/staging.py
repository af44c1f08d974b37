"""Files that carlet wants ready in this car before anybody needs them: fetched when nothing else wants the link."""

import asyncio
import logging
from typing import Final

from parkade.errors import DigestMismatch, ParkadeError
from parkade.vehicle.backoff import Backoff
from parkade.vehicle.intent import FORMATS
from parkade.vehicle.replica import FIRST_WAIT, LONGEST_WAIT, MISMATCH_WAIT, Workshop
from parkade.vehicle.signals import Link
from parkade.vehicle.store import DiskFull
from parkade.vehicle.transfer import UrlRefused
from parkade.vehicle.wire import Staged

log = logging.getLogger(__name__)

LINKS: Final = frozenset({Link.WiFi, Link.Ethernet})
"""Where a byte that nobody asked for yet costs nothing; the contract may allow fewer, and never more."""


class Staging:
    """Fetches files one by one for as long as it is let; what came of one that is interrupted is gone on with."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._files: tuple[Staged, ...] = ()
        self._task: asyncio.Task[None] | None = None

    @property
    def active(self) -> bool:
        """Whether a file is on its way, or waits for another try."""
        return self._task is not None and not self._task.done()

    def digests(self) -> frozenset[str]:
        """Return the files wanted, which make room for what is assigned and not for each other."""
        return frozenset(file.digest for file in self._files)

    def want(self, files: tuple[Staged, ...], link: Link, *, idle: bool) -> None:
        """Fetch these files, if the car is idle and its link one of those; else stop in the same instant."""
        changed, self._files = files != self._files, files
        missing = self.digests() - set(self._workshop.store.held())
        may = idle and link in LINKS and bool(missing)
        if self._task is not None and (changed or not may):
            self._task.cancel()
            self._task = None
        if may and self._task is None:
            self._task = asyncio.create_task(self._run(files), name="staging")

    async def close(self) -> None:
        """Stop."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self, files: tuple[Staged, ...]) -> None:
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        while True:
            wait, pause = backoff.rest(), 0.0
            for file in files:
                pause = max(pause, await self._fetch(file, wait))
            if not pause:
                return
            await asyncio.sleep(pause)

    async def _fetch(self, file: Staged, wait: float) -> float:
        """Fetch one file; return the seconds after which it is worth another try, 0 where none is needed."""
        shop = self._workshop
        if file.format not in FORMATS or file.digest in shop.store.held():
            return 0.0
        if not file.url:
            return wait
        try:
            async with shop.one_download:
                await shop.store.fetch(file.digest, file.size, file.url, shop.keep() | self.digests())
        except (ParkadeError, OSError) as error:
            log.info("a model that was wanted ahead of need did not come: %s", type(error).__name__)
            if isinstance(error, UrlRefused):
                shop.ask()
            return MISMATCH_WAIT if isinstance(error, DigestMismatch | DiskFull) else wait
        shop.changed()
        return 0.0
