"""Two routers, one of which keeps the queue."""

import json
import signal
from dataclasses import dataclass, field
from pathlib import Path

from parkade.local.pki import Authority
from router.peers import Router, workload
from router.places import MODEL, WORKLOAD, until


@dataclass
class Routers:
    """Two routers that know each other by a file; `owner` keeps the queue of the one workload, `other` does not."""

    binary: Path
    authority: Authority
    folder: Path
    all: list[Router] = field(default_factory=list)
    delay: int = 0
    flags: tuple[str, ...] = ()

    @property
    def file(self) -> Path:
        return self.folder / "routers.json"

    def start(self, *placements: dict, **spec: object) -> "Routers":
        self.file.write_text("[]")
        for name in ("a", "b"):
            folder = self.folder / name
            folder.mkdir()
            router = Router(self.binary, self.authority, folder, id=name, others=self.file, delay=self.delay)
            router.flags = self.flags
            self.all.append(router)
        self.plan(*placements, **spec)
        for router in self.all:
            router.start().ready()
        self.name(*self.all)
        until(lambda: sum(owns(router) for router in self.all) == 1)
        return self

    def plan(self, *placements: dict, **spec: object) -> None:
        for router in self.all:
            router.plan(workload(*placements, **spec))

    def name(self, *routers: Router) -> None:
        """Say which routers there are."""
        rows = [{"id": router.id, "peers": router.addresses["peers"], "cars": router.cars} for router in routers]
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps(rows))
        draft.replace(self.file)

    @property
    def owner(self) -> Router:
        return next(router for router in self.all if owns(router))

    @property
    def other(self) -> Router:
        return next(router for router in self.all if not owns(router))

    def stop(self) -> None:
        for router in self.all:
            if router.process and router.process.poll() is None:
                router.process.send_signal(signal.SIGCONT)
            router.stop()


def owns(router: Router) -> bool:
    return router.metric("owns", workload=WORKLOAD) == 1


def url(router: Router, tail: str = "/infer") -> str:
    return f"http://{router.http}/v2/models/{MODEL}{tail}"
