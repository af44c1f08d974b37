"""The car's last word: every change of plan, signal or owner's wish ends in `apply`, which acts in the same instant.

`apply` is level-triggered and synchronous. It compares what should run with what runs, withdraws first, then starts;
nothing it calls waits. Slow work lives in the replicas' own tasks.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any, Final

from parkade.errors import InvalidInput
from parkade.vehicle import clock, intent, signals, versions, wire
from parkade.vehicle import contract as contracts
from parkade.vehicle.books import Books, Power
from parkade.vehicle.contract import Contract
from parkade.vehicle.dwelling import Dwelling
from parkade.vehicle.notebook import Notebook
from parkade.vehicle.owner import Owner
from parkade.vehicle.pace import Pace
from parkade.vehicle.reasons import Refusal
from parkade.vehicle.replica import Memory, Phase, Replica, Workshop
from parkade.vehicle.runtime import Runtime
from parkade.vehicle.signals import Signals
from parkade.vehicle.staging import Staging
from parkade.vehicle.store import Store
from parkade.vehicle.tls import Certificates
from parkade.vehicle.transfer import Roads
from parkade.vehicle.versions import LastGood, Trials
from parkade.vehicle.wire import Assignment, Desired, Garbage, Identity

log = logging.getLogger(__name__)

TICK: Final = 5.0
"""Seconds between looks at the clocks: quiet hours, departures and spent allowances begin without any message."""
OUTDATED_FOR: Final = 600.0
"""Seconds for which orders of an older term are ignored after one of a newer: no order is on its way for longer, and a
car does not depend for ever on carlets' clocks, from which terms begin."""
SAFE: Final = replace(contracts.LOOSEST, min_celsius=-20.0, max_celsius=70.0)
"""Temperatures of a computer that may work; chosen 15 to 20 K inside the -40 to 85 C of AEC-Q100 grade 3 parts."""


@dataclass(frozen=True, slots=True)
class Outfit:
    """What an agent is made of, chosen once at the start."""

    identity: Identity
    state_dir: Path
    certificates: Certificates
    runtime: Runtime
    installed: Contract | None
    """Terms that the pool may not loosen from afar; None leaves them to the pool."""
    signals: Signals
    disk: int
    """Bytes that artifacts may take on disk."""
    safe: Contract = SAFE
    """Terms of the car's hardware, which hold whatever else is agreed."""
    power: Power = field(default_factory=Power)
    download_rate: float = inf
    """Bytes a second that downloads may take, whatever the link carries."""
    recall: bool = False
    """Whether the signals go on from the last ones of the last process; else they are those given."""


class Agent:
    """Holds the desired set, the signals and the owner's terms; must be made inside a running event loop."""

    def __init__(self, outfit: Outfit, sources: clock.Sources | None = None) -> None:
        self.identity = outfit.identity
        self.signals = outfit.signals
        self.garbage = 0
        """Messages ignored because they could not be meant."""
        self.outdated = 0
        """Orders ignored because their carlet has given the car's cell away."""
        self.on_news: Callable[[], None] = lambda: None
        self.on_ask: Callable[[], None] = lambda: None
        self.notebook = Notebook(outfit.state_dir)
        self.books = Books(self.notebook, outfit.power, sources or clock.system())
        self.books.on_spent = self._schedule
        self.owner = Owner(self.notebook, self.books.write)
        self.dwelling = Dwelling(self.notebook.read_json("departures.json"), self.books.clock.elapsed)
        self.replicas: dict[intent.Key, Replica] = {}
        self.desired = Desired("", "", ())
        self._heeded = self.books.clock.elapsed  # when an order was taken last
        self._installed = outfit.installed
        self._safe = outfit.safe
        self._hot = False
        self._scheduled = False
        self._stopping = False
        self._executor = ThreadPoolExecutor(outfit.identity.slots, thread_name_prefix="infer")
        self._pace = Pace(outfit.download_rate)
        roads = Roads(outfit.certificates.context, outfit.certificates.strangers, self._pace, self._downloaded)
        self._store = Store(self.notebook.path("models"), outfit.disk, roads, self.books.clock.sources.boot)
        self._good = LastGood(self.notebook, self.books.write)
        self._trials = Trials(self.notebook, self.books.write)
        self._workshop = Workshop(
            outfit.identity, self._store, outfit.runtime, self._executor, outfit.certificates, self.books.usage,
            self.carried, Memory(outfit.identity.memory), self._schedule, self._ask, self._referenced,
            self._trials, self.books.disbelieved,
        )  # fmt: skip
        self._staging = Staging(self._workshop)
        self._remember(outfit.recall)

    def carried(self, size: int) -> None:
        """Count bytes of either direction on the car's present link, those of downloads aside."""
        self._pace.carried(size)
        self.books.carry(str(self.signals.link), size)

    def _downloaded(self, size: int) -> None:
        self.books.usage.downloaded += size
        self.books.carry(str(self.signals.link), size)

    def _ask(self) -> None:
        self.on_ask()

    def _remember(self, recall: bool) -> None:  # noqa: FBT001 -- as in Outfit
        """Go on where the last process ended: signals, last desired set; all without the network."""
        if recall:
            self._recall()
        payload = self.notebook.read("desired.json")
        if payload is not None:
            try:
                self.desired = wire.read_desired(payload)
            except Garbage as error:
                log.warning("the remembered desired set is ignored: %s", error)

    def _recall(self) -> None:
        """A car that was about to leave, or off its plug, still is, until a signal says otherwise."""
        if self.notebook.read("signals.json") is None:
            return
        held = self.notebook.read_json("signals.json")
        elapsed = self.books.clock.elapsed
        try:
            said = clock.amount(held["elapsed"])
            self.signals = signals.change(self.signals, held["signals"], said)
            if self.signals.departs_at is not None and said > elapsed:  # that time was lost with the account of the day
                self.signals = replace(self.signals, departs_at=elapsed)
        except (InvalidInput, ValueError, KeyError, TypeError):
            log.warning(
                "the remembered signals cannot be read; the car counts as leaving until a signal says otherwise"
            )
            self.signals = replace(self.signals, leaving=True)

    # what others tell the agent

    def receive(self, payload: bytes) -> None:
        """Take a `desired` message; the newest supersedes, garbage and orders of an older term change nothing."""
        try:
            desired = wire.read_desired(payload)
        except Garbage as error:
            self.garbage += 1
            log.warning("a desired set is ignored, the last one stays: %s", error)
            return
        elapsed = self.books.clock.elapsed
        if 0 < desired.term < self.desired.term and elapsed - self._heeded < OUTDATED_FOR:
            self.outdated += 1
            log.warning("an order is ignored: it is of term %d, and one of %d came", desired.term, self.desired.term)
            return
        self._heeded = elapsed
        if desired != self.desired:
            self.desired = desired
            self.books.write({"desired.json": payload})
        self.apply()

    def change_signals(self, fields: Mapping[str, Any]) -> None:
        """Take a change in the words of a replay file.

        Raises:
            InvalidInput: a value cannot be meant.
        """
        elapsed = self.books.clock.elapsed
        fresh = signals.change(self.signals, fields, elapsed)
        self._settle()
        self.signals = fresh
        self.books.write({"signals.json": {"elapsed": elapsed, "signals": signals.shown(fresh, elapsed)}})
        self.apply()

    def pause(self, paused: bool) -> None:  # noqa: FBT001 -- the owner's switch
        """Start or end the owner's pause."""
        self.owner.pause(paused)
        self.apply()

    def unplug(self) -> None:
        """Announce departure and drain: the cable is out."""
        self.change_signals({"pluggedIn": False, "leaving": True})

    def plug(self) -> None:
        """Take the departure back: the cable is in."""
        self.change_signals({"pluggedIn": True, "leaving": False})

    def forget_history(self) -> None:
        """Forget the stays from which departures are forecast."""
        self.dwelling.forget()
        self._note_stay()
        self.apply()

    def _note_stay(self) -> None:
        self.books.write({"departures.json": self.dwelling.shown()})

    def tighten(self, wanted: Mapping[str, Any]) -> Refusal | None:
        """Take the owner's own terms, or return why they would loosen the contract.

        Raises:
            InvalidInput: a term is unknown or its value cannot be meant.
        """
        refusal = self.owner.tighten(self.floor, wanted)
        if refusal is None:
            self.apply()
        return refusal

    # the decision

    @property
    def floor(self) -> Contract:
        """The pool's contract as last told, or what holds before any is, within what the hardware may."""
        return contracts.strictest(contracts.floor(self._installed, self.desired.contract), self._safe)

    @property
    def contract(self) -> Contract:
        """The terms that hold: the pool's and the owner's, each at its tighter value."""
        return contracts.strictest(self.floor, self.owner.terms)

    def refusal(self) -> Refusal | None:
        """Return why the car as a whole may not work now."""
        if lost := self.owner.refusal:
            return lost
        look = self.books.clock.look()
        refusal = contracts.evaluate(self.contract, self.signals, self.owner.paused, look, self.spent())
        return refusal or self.books.failure

    def refusals(self) -> list[Refusal]:
        """Return everything that keeps the car from working now, for its owner."""
        look = self.books.clock.look()
        return list(contracts.refusals(self.contract, self.signals, self.owner.paused, look, self.spent()))

    def spent(self) -> contracts.Spent:
        """Return what the contract needs to know beyond the signals."""
        return replace(self.books.spent(self.contract), paid=self.desired.energy_price, out_of_range=self._hot)

    def _settle(self) -> None:
        """Count what ran since the last look, under the signals that held meanwhile."""
        changes = self.books.history.changes
        self.books.settle(
            self.signals, bool(self.replicas) or self._staging.active, changes[-1].reason if changes else ""
        )

    def _look(self) -> Refusal | None:
        """Bring the books up to now, and return why the car may not work."""
        self._settle()
        self._hot = contracts.out_of_range(self.contract, self.signals, self._hot)
        willing = self.refusal() is None and bool(self.desired.assignments or self.desired.stage)
        self.books.keep(self.contract, bool(self.replicas) or self._staging.active or willing)
        refusal = self.refusal()
        self.books.note(refusal)
        return refusal

    def apply(self) -> None:
        """Make what runs be what should run; returns without waiting."""
        if self._stopping:
            return
        car, memory = self._look(), self.identity.memory
        verdicts = intent.admit(self.desired.assignments, car, memory)
        wanted = {a.key: a for a in self.desired.assignments if verdicts[a.key] is None}
        self._good.note(
            [wanted[key] for key, replica in self.replicas.items() if key in wanted and replica.accepting],
            {a.workload for a in self.desired.assignments},
        )
        self._trials.keep({a.digest for a in self.desired.assignments} | self._good.digests())
        if car is None:
            wanted |= versions.stand_ins(
                self.desired.assignments, wanted, self.replicas, self._good.held(self._store.held()), memory
            )
        for key, held in list(self.replicas.items()):
            if key in wanted and not held.withdrawn:
                held.update(wanted[key], self.desired.cell)
            else:
                held.withdraw()
            if held.gone:
                del self.replicas[key]
        for key, assignment in wanted.items():
            if key not in self.replicas:
                self.replicas[key] = Replica(assignment, self.desired.cell, self._workshop)
        idle = car is None and not any(replica.downloads for replica in self.replicas.values())
        self._staging.want(self.desired.stage, self.signals.link, idle=idle)
        if self.dwelling.look(self.signals, self.books.clock.look()):  # last: a stay that ends takes milliseconds
            self._note_stay()
        self.on_news()

    def _stands_in(self, ordered: Assignment) -> bool:
        """Whether another version of the workload answers for the one ordered."""
        good = self._good.of(ordered.workload)
        held = self.replicas.get(good.key) if good is not None and good.digest != ordered.digest else None
        return held is not None and held.accepting

    def _schedule(self) -> None:
        """Apply once after whatever is happening now: phases change in the middle of other work."""
        if not self._scheduled and not self._stopping:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._apply_scheduled)

    def _apply_scheduled(self) -> None:
        self._scheduled = False
        self.apply()

    def _referenced(self) -> frozenset[str]:
        return (
            frozenset([a.digest for a in self.desired.assignments] + [digest for _, digest in self.replicas if digest])
            | self._good.digests()
        )

    # what the agent tells others

    def hello(self) -> dict[str, Any]:
        """Return who is here and what it holds."""
        return wire.write_hello(self.identity, self.desired.cell, self._store.held(), self.desired.revision)

    def state(self, rtt: float) -> dict[str, Any]:
        """Return the state message; `rtt` is the measured round trip of the fleet link in seconds."""
        refusal = self.refusal()
        # a refusal of the car is said once, and is none of the workload: carlet asks again once the car is eligible
        rows = self.assignments() if refusal is None else [replica.shown() for replica in self.replicas.values()]
        ahead = self.dwelling.said if refusal is None else None
        return {
            "v": wire.VERSION,
            "present": True,
            "leaving": self.signals.departing,
            "link": str(self.signals.link),
            "state": str(self.signals.state),
            "eligible": refusal is None,
            "reason": str(refusal.reason) if refusal else "",
            "message": refusal.message if refusal else "",
            "rttMillis": round(rtt * 1000),
            "desired": self.desired.revision,
            "assignments": rows,
        } | ({"leavingWithin": list(ahead)} if ahead else {})

    def assignments(self) -> list[dict[str, Any]]:
        """Return a row for each desired assignment, then one for each replica that is leaving or stands in."""
        verdicts = intent.admit(self.desired.assignments, self.refusal(), self.identity.memory)
        rows = []
        for assignment in self.desired.assignments:
            refusal, replica = verdicts[assignment.key], self.replicas.get(assignment.key)
            row = {"workload": assignment.workload, "digest": assignment.digest, "phase": str(Phase.Fetching)}
            if refusal is not None:
                row |= {"phase": str(Phase.Refused), "reason": str(refusal.reason), "message": refusal.message}
            elif replica is not None:
                row |= replica.shown()
            if row.get("message") and self._stands_in(assignment):
                row["message"] += "; the last good version goes on serving"
            rows.append({"reason": "", "message": ""} | row)
        others = [replica for key, replica in self.replicas.items() if key not in verdicts]
        return rows + [replica.shown() for replica in others]

    # the agent's life

    async def run(self) -> None:
        """Look at the clocks until cancelled."""
        self.apply()
        while True:
            await asyncio.sleep(TICK)
            self.apply()

    async def close(self) -> None:
        """Withdraw every credit, finish what is in flight, and let go. A stop is no departure: no goodbye is said."""
        self._stopping = True
        replicas = list(self.replicas.values())
        for replica in replicas:
            replica.withdraw()
        for replica in replicas:
            await replica.closed()
        await self._staging.close()
        await self._store.close()
        self._executor.shutdown(cancel_futures=True)
        self._settle()
        self.books.save(None)
