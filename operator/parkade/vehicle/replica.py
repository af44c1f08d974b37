"""One model held for one workload: fetched, loaded, offered, drained; in one task that owns all of it."""

import asyncio
import importlib
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from parkade.errors import DigestMismatch, ModelRejected, ParkadeError, Unavailable
from parkade.vehicle.backoff import Backoff, jittered
from parkade.vehicle.intent import need
from parkade.vehicle.kserve import KServe, Served
from parkade.vehicle.reasons import ANSWERS, Reason, Refusal
from parkade.vehicle.runtime import Model, Runtime
from parkade.vehicle.serving import Credit
from parkade.vehicle.store import DiskFull, Store
from parkade.vehicle.tls import Certificates
from parkade.vehicle.transfer import UrlRefused
from parkade.vehicle.usage import Usage
from parkade.vehicle.versions import CRASHES, Trials
from parkade.vehicle.wire import Assignment, Identity

log = logging.getLogger(__name__)

DRAIN: Final = 10.0
"""Seconds that requests in flight may take before a drain cuts them off."""
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0
"""Seconds between tries of a download, doubling, jittered."""
MISMATCH_WAIT: Final = 300.0
"""Seconds before bytes that were wrong are fetched again: the source may have been corrected."""


class Phase(StrEnum):
    """Where a replica is in its life, as the state message says it."""

    Fetching = "Fetching"
    Loading = "Loading"
    Ready = "Ready"
    Draining = "Draining"
    Refused = "Refused"
    Failed = "Failed"


class Memory:
    """Bytes that loaded models may take; a load waits until those that leave have given theirs back."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._returned = asyncio.Condition()

    async def take(self, size: int) -> None:
        """Wait for `size` bytes."""
        async with self._returned:
            await self._returned.wait_for(lambda: self._free >= size)
            self._free -= size

    async def give_back(self, size: int) -> None:
        """Return what was taken."""
        async with self._returned:
            self._free += size
            self._returned.notify_all()


@dataclass(frozen=True)
class Workshop:
    """What all replicas of one car share."""

    identity: Identity
    store: Store
    runtime: Runtime
    executor: Executor
    certificates: Certificates
    usage: Usage
    carried: Callable[[int], None]
    """Told of bytes on serving connections, both directions."""
    memory: Memory
    changed: Callable[[], None]
    """Told when a phase changed."""
    ask: Callable[[], None]
    """Says hello again; the answer has fresh URLs."""
    keep: Callable[[], frozenset[str]]
    """Digests that may not be evicted."""
    trials: Trials
    disbelieved: Callable[[Assignment, Refusal], None]
    """Told what a router says of the answers."""
    one_download: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    one_load: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))


def version_of(digest: str) -> str:
    """Return the version that callers name: the same as Triton's for the same artifact."""
    return str(int(digest[:8], 16) % (2**31 - 1) + 1)


class Replica:
    """Starts on construction; `withdraw` ends it, and `gone` says that nothing of it is left."""

    def __init__(self, assignment: Assignment, cell: str, workshop: Workshop) -> None:
        self.assignment = assignment
        self.phase = Phase.Fetching
        self.refusal: Refusal | None = None
        self.withdrawn = False
        self._cell = cell
        self._workshop = workshop
        self._credits: list[Credit] = []
        self._fresh_url = asyncio.Event()
        self._stop = asyncio.Event()
        self.app: KServe | None = None
        self._task = asyncio.create_task(self._run(), name=f"replica {assignment.workload}")
        self._task.add_done_callback(lambda _: workshop.changed())

    @property
    def accepting(self) -> bool:
        """Whether requests are answered: ready, and neither plan nor contract took it back."""
        return self.phase is Phase.Ready and not self.withdrawn

    @property
    def waits(self) -> bool:
        """Whether it takes no memory: it still fetches, or it failed for good."""
        return self.phase in (Phase.Fetching, Phase.Refused) or (self.phase is Phase.Failed and self.app is None)

    @property
    def downloads(self) -> bool:
        """Whether it wants the link for its file."""
        waiting = self.refusal is not None and self.refusal.reason is Reason.WaitingForUrl
        return self.phase is Phase.Fetching and not waiting and not self.withdrawn

    @property
    def gone(self) -> bool:
        """Whether it was withdrawn and nothing of it is left."""
        return self.withdrawn and self._task.done()

    def update(self, assignment: Assignment, cell: str) -> None:
        """Take a fresh URL or another owner router for the same workload and digest."""
        old, self.assignment = self.assignment, assignment
        moved = (old.router, self._cell) != (assignment.router, cell)
        self._cell = cell
        if assignment.url != old.url:
            self._fresh_url.set()
        if moved:
            for credit in self._credits:
                credit.move()

    def withdraw(self) -> None:
        """Stop at once what is idle or not ready; a request in flight is finished first."""
        if self.withdrawn:
            return
        self.withdrawn = True
        self._stop.set()
        if self._credits:
            self._set(Phase.Draining)
            for credit in self._credits:
                credit.withdraw()
        else:
            self._task.cancel()

    async def closed(self) -> None:
        """Wait until it is gone; only after `withdraw`."""
        await asyncio.wait({self._task})

    def shown(self) -> dict[str, Any]:
        """Return the entry of the state message."""
        refusal = self.refusal
        return {
            "workload": self.assignment.workload,
            "digest": self.assignment.digest,
            "phase": str(self.phase),
            "reason": str(refusal.reason) if refusal else "",
            "message": refusal.message if refusal else "",
        }

    @property
    def connections(self) -> int:
        """Connections that stand with the owner router."""
        return sum(credit.open for credit in self._credits)

    def _set(self, phase: Phase, reason: Reason | None = None, message: str = "") -> None:
        refusal = Refusal(reason, message) if reason else None
        if (phase, refusal) != (self.phase, self.refusal):
            log.info("%s %s: %s %s", self.assignment.workload, phase, reason or "", message)
            self.phase, self.refusal = phase, refusal
            self._workshop.changed()

    async def _run(self) -> None:
        reserved = need(self.assignment)
        try:
            path = await self._fetch()
            if self._workshop.trials.crashed(self.assignment.digest):
                self._set(
                    Phase.Failed, Reason.LoadCrashed,
                    f"the agent ended {CRASHES} times while it loaded this artifact; replace the artifact",
                )  # fmt: skip
                return
            self._set(Phase.Loading)
            await self._workshop.memory.take(reserved)
            try:
                await self._offer(await self._load(path))
            finally:
                await self._workshop.memory.give_back(reserved)
        except ModelRejected as error:
            self._set(Phase.Failed, Reason.ModelRejected, str(error))
        except Exception as error:
            log.exception("%s: the replica's task failed", self.assignment.workload)
            self._set(Phase.Failed, Reason.InternalError, f"{type(error).__name__} in the agent; see its log")

    async def _fetch(self) -> Path:
        """Return the verified artifact, for as many tries as it takes."""
        shop, digest = self._workshop, self.assignment.digest
        refused = False
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        while True:
            pause = backoff.rest()
            held = await shop.store.verified(digest)
            if held is not None:
                return held
            self._fresh_url.clear()
            if not self.assignment.url:
                self._set(
                    Phase.Fetching, Reason.WaitingForUrl, "the model is not staged yet; the car waits for its URL"
                )
                await self._fresh_url.wait()
                continue
            try:
                async with shop.one_download:
                    self._set(Phase.Fetching)
                    return await shop.store.fetch(digest, self.assignment.size, self.assignment.url, shop.keep())
            except DigestMismatch as error:
                self._set(Phase.Failed, Reason.DigestMismatch, str(error))
                pause = jittered(MISMATCH_WAIT)
            except DiskFull as error:
                self._set(Phase.Refused, Reason.DiskFull, str(error))
            except (Unavailable, OSError) as error:
                self._set(Phase.Fetching, Reason.SourceUnavailable, _words(error))
                if isinstance(error, Unavailable):
                    pause = max(pause, error.retry_after)
                if isinstance(error, UrlRefused):
                    shop.ask()
                    if not refused:  # the first fresh URL is tried at once; a store that refuses it too is given time
                        refused = await self._has_fresh_url(LONGEST_WAIT)
                        continue
            await asyncio.sleep(pause)

    async def _has_fresh_url(self, patience: float) -> bool:
        """Wait for another URL, for so many seconds at most."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._fresh_url.wait(), patience)
        return self._fresh_url.is_set()

    async def _load(self, path: Path) -> Model:
        shop, assignment = self._workshop, self.assignment
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        while True:
            try:
                async with shop.one_load:
                    # with the model, so that the first caller over gRPC does not wait for half a hundred modules
                    await asyncio.to_thread(importlib.import_module, "parkade.vehicle.kserve_grpc")
                    shop.trials.begin(assignment.digest)
                    try:
                        return await asyncio.to_thread(shop.runtime.load, path, assignment.model, need(assignment))
                    finally:
                        shop.trials.end(assignment.digest)
            except Unavailable as error:
                self._set(Phase.Loading, Reason.SourceUnavailable, str(error))
            await asyncio.sleep(backoff.rest())

    async def _offer(self, model: Model) -> None:
        """Serve until withdrawn and quiet."""
        shop, assignment = self._workshop, self.assignment
        version = version_of(assignment.digest)
        record = shop.usage.recorder(assignment.workload)
        served = Served(
            assignment.model, version, model, shop.executor, lambda: self.accepting, record, shop.usage.busy
        )
        self.app = KServe(served)
        self._credits = [self._credit(self.app) for _ in range(shop.identity.slots)]
        tasks = [asyncio.create_task(credit.run()) for credit in self._credits]
        stop = asyncio.create_task(self._stop.wait())
        try:
            if not self.withdrawn:
                self._set(Phase.Ready)
            await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
            for credit in self._credits:
                credit.withdraw()
            await asyncio.wait(tasks, timeout=DRAIN)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            stop.cancel()
            for credit, task in zip(self._credits, tasks, strict=True):
                credit.abort()
                task.cancel()
            self.app = None
            self._credits = []
            await asyncio.to_thread(model.close)

    def _credit(self, app: KServe) -> Credit:
        assignment, identity = self.assignment, self._workshop.identity

        def offer() -> dict[str, str]:
            return {
                "Parkade-Workload": assignment.workload,
                "Parkade-Model": assignment.model,
                "Parkade-Digest": assignment.digest,
                "Parkade-Cell": self._cell,
                "Parkade-Hardware": identity.hardware,
            }

        shop = self._workshop
        return Credit(offer, app, shop.certificates, lambda: self.assignment.router, self._router_said, shop.carried)

    def _router_said(self, refusal: Refusal | None) -> None:
        """A router that does not believe the answers makes the replica useless until one takes the offer again."""
        rejected = self.refusal is not None and self.refusal.reason in ANSWERS
        if self.withdrawn or not (self.phase is Phase.Ready or rejected):
            return
        if refusal is None:
            self._set(Phase.Ready)
        elif refusal.reason in ANSWERS:
            if self.refusal is None or self.refusal.reason is not refusal.reason:  # each connection is told
                self._workshop.disbelieved(self.assignment, refusal)
            self._set(Phase.Failed, refusal.reason, refusal.message)
        elif not rejected:
            self._set(Phase.Ready, refusal.reason, refusal.message)


def _words(error: Exception) -> str:
    """Our own sentences as they are; the system's without paths."""
    if isinstance(error, ParkadeError):
        return str(error)
    return f"the disk of the car fails: {getattr(error, 'strerror', None) or type(error).__name__}"
