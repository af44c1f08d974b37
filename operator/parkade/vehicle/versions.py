"""Two versions of a workload: the one ordered, and the last good one that serves until the ordered one is ready.

What was ready last, and which loads ended with the process, is remembered over a restart or a power cut.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, Final, Protocol

from parkade.vehicle.intent import Key, need
from parkade.vehicle.notebook import Notebook
from parkade.vehicle.wire import Assignment, Garbage, read_assignment

CRASHES: Final = 3
"""Loads of one artifact that ended with the process before it is not loaded any more: one or two may be power cuts."""


class LastGood:
    """The assignment of each workload that was ready last."""

    def __init__(self, notebook: Notebook, write: Callable[[Mapping[str, object]], object]) -> None:
        self._write = write
        self._held: dict[str, Assignment] = {}
        for workload, entry in notebook.read_json("good.json").items():
            try:
                found = read_assignment(entry)
            except Garbage:
                continue
            if found.workload == workload:
                self._held[workload] = found

    def of(self, workload: str) -> Assignment | None:
        """Return what was ready last; None where nothing was."""
        return self._held.get(workload)

    def held(self, digests: Container[str]) -> dict[str, Assignment]:
        """Return by workload what was ready last and is among these digests."""
        return {workload: good for workload, good in self._held.items() if good.digest in digests}

    def digests(self) -> frozenset[str]:
        """Return the artifacts that may be needed again."""
        return frozenset(held.digest for held in self._held.values())

    def note(self, ready: Iterable[Assignment], ordered: Container[str]) -> None:
        """Take what is ready now, and forget workloads that are no longer ordered."""
        held = {workload: kept for workload, kept in self._held.items() if workload in ordered}
        for assignment in ready:
            held[assignment.workload] = replace(assignment, url="")
        digests = {workload: kept.digest for workload, kept in self._held.items()}
        self._held = held
        if digests != {workload: kept.digest for workload, kept in held.items()}:
            self._write({"good.json": {workload: _shown(kept) for workload, kept in held.items()}})


class Trials:
    """Loads that began and did not end: the runtime took the process with it, or the power went."""

    def __init__(self, notebook: Notebook, write: Callable[[Mapping[str, object]], object]) -> None:
        self._write = write
        held = notebook.read_json("loads.json")
        self._begun = {name: count for name, count in held.items() if type(count) is int and count > 0}

    def crashed(self, digest: str) -> bool:
        """Whether so many loads of it ended with the process that it is loaded no more."""
        return self._begun.get(digest, 0) >= CRASHES

    def begin(self, digest: str) -> None:
        """Write down that a load begins, before it does."""
        self._begun[digest] = self._begun.get(digest, 0) + 1
        self._save()

    def end(self, digest: str) -> None:
        """The process outlived the load, whatever came of it."""
        if self._begun.pop(digest, None) is not None:
            self._save()

    def keep(self, ordered: Container[str]) -> None:
        """Forget artifacts that are no longer ordered: ordered again, they are tried again."""
        gone = [digest for digest in self._begun if digest not in ordered]
        for digest in gone:
            del self._begun[digest]
        if gone:
            self._save()

    def _save(self) -> None:
        self._write({"loads.json": dict(self._begun)})


class Running(Protocol):
    """What is known of a replica."""

    @property
    def accepting(self) -> bool:
        """Whether it answers."""

    @property
    def waits(self) -> bool:
        """Whether it takes no memory."""


def stand_ins(
    ordered: Iterable[Assignment],
    taken: Mapping[Key, Assignment],
    running: Mapping[Key, Running],
    good: Mapping[str, Assignment],
    memory: int,
) -> dict[Key, Assignment]:
    """Return the last good versions that should serve now, each in place of one that does not yet, or cannot.

    A last good one gives way when its successor is about to load and both do not fit. One that has yet to be fetched,
    or has failed, takes nothing from it.

    Args:
        ordered: what this car should hold, refused or not.
        taken: what of it the car takes.
        running: the replicas that there are.
        good: by workload, the version that was ready last and is on disk.
        memory: bytes of the car.
    """

    def takes(assignment: Assignment) -> int:
        held = running.get(assignment.key)
        idle = held is None or held.waits
        return 0 if idle and assignment.workload in good else need(assignment)

    free = memory - sum(takes(assignment) for assignment in taken.values())
    chosen: dict[Key, Assignment] = {}
    for wanted in ordered:
        old, held = good.get(wanted.workload), running.get(wanted.key)
        if old is None or old.digest == wanted.digest or need(old) > free or (held is not None and held.accepting):
            continue
        free -= need(old)
        chosen[old.key] = replace(old, router=wanted.router)
    return chosen


def _shown(assignment: Assignment) -> dict[str, Any]:
    fields = asdict(assignment)
    return fields | {"bytes": fields.pop("size")}
