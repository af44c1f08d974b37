"""The owner's contract as laws: no sequence of plans, signals, set clocks, restarts and faults breaks it.

The machine drives a real agent (its disk, its models, its onnxruntime) without any network, and keeps books of its own,
written from docs/vehicle.md and not from the agent: what was agreed, what was spent, what time it is for the car.
"""

import asyncio
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import time
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from parkade.vehicle.agent import Agent, Outfit
from parkade.vehicle.reasons import Refusal
from parkade.vehicle.runtime import OnnxRuntime
from parkade.vehicle.signals import Link, Signals
from parkade.vehicle.wire import Identity
from vehicle.peers import ASK, Hand, affine, ask_app, assignment, desired, digest_of, until

DAY = 86400.0
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 -- each step is made safe on disk
STEP = 60.0
"""Seconds between two looks of the agent here; a real one looks every 5 s."""
POOL = {
    "requirePluggedIn": True, "minStateOfCharge": 50, "maxRangeLossPerDay": 5, "netPositive": True, "readyBefore": "0s",
    "links": ["WiFi", "Ethernet", "Starlink"],
}  # fmt: skip
"""What holds of a term that the pool does not name."""

FREE = {"requirePluggedIn": False, "minStateOfCharge": 0, "links": [str(link) for link in Link], "netPositive": False}
"""So loose that work goes on, and the day's allowances and the owner's terms are what stops it."""
pool_terms = st.sampled_from([
    None, {}, FREE, FREE, FREE,
    FREE | {"maxRangeLossPerDay": 1}, FREE | {"maxRangeLossPerDay": 0}, FREE | {"maxRangeLossPerDay": 900},
    FREE | {"dataCapPerDay": "10k"}, FREE | {"dataCapPerDay": "0"}, FREE | {"dataCapPerDay": "1Gi"},
    FREE | {"minStateOfCharge": 60}, FREE | {"links": ["WiFi"]}, FREE | {"netPositive": True},
    FREE | {"quietHours": "22:00-06:00"}, FREE | {"quietHours": "11:00-13:00"}, FREE | {"readyBefore": "30m"},
    FREE | {"requirePluggedIn": True}, FREE | {"ofTomorrow": 1},
])  # fmt: skip
own_terms = st.sampled_from([
    {"requirePluggedIn": True}, {"requirePluggedIn": False}, {"minStateOfCharge": 70}, {"minStateOfCharge": 30},
    {"maxRangeLossPerDay": 0.5}, {"maxRangeLossPerDay": 2}, {"dataCapPerDay": "5k"}, {"dataCapPerDay": "20k"},
    {"links": ["WiFi"]}, {"links": []}, {"quietHours": "00:00-04:00"}, {"quietHours": "12:30-12:40"},
    {"energyPrice": 0.2}, {"energyPrice": 0.4, "netPositive": True}, {"maxCelsius": 60}, {"maxCelsius": 90},
    {"readyBefore": "30m"},
])  # fmt: skip
signals = st.sampled_from([
    {"pluggedIn": True}, {"pluggedIn": False}, {"pluggedIn": False, "sentry": True}, {"soc": 35}, {"soc": 65},
    {"soc": 80}, {"link": "WiFi"}, {"link": "Cellular"}, {"charging": True}, {"charging": False}, {"sentry": False},
    {"leaving": True}, {"leaving": False}, {"leaving": False, "pluggedIn": False}, {"celsius": None}, {"celsius": -30},
    {"celsius": 55}, {"celsius": 65}, {"celsius": 80}, {"departureIn": None}, {"departureIn": 1500},
    {"door": True}, {"door": False}, {"door": True, "occupant": True}, {"occupant": False},
    {"departureIn": 10_000}, {"state": None}, {"state": "Awake"}, {"state": "Charging"},
])  # fmt: skip
DAMAGE = [b"", b"{", b"[]", b'{"a": 1}', b"\xff\x00"]
FILES = ["owner.json", "day.json", "signals.json", "desired.json", "usage.json", "history.json", "departures.json"]


def size_of(text: str) -> float:
    units = {"k": 1e3, "i": 2**30}
    return (
        float(text[:-2]) * units["i"] if text.endswith("Gi") else float(text.rstrip("k")) * (1e3 if "k" in text else 1)
    )


def within(span: str, moment: time) -> bool:
    start, end = (time.fromisoformat(part) for part in span.split("-"))
    return start <= moment < end if start < end else moment >= start or moment < end


@dataclass
class World:
    """What is true, whoever remembers it."""

    hand: Hand = field(default_factory=Hand)
    pool: dict[str, Any] | None = None
    paid: float | None = None
    assigned: bool = False
    own: dict[str, Any] = field(default_factory=dict)
    paused: bool = False
    terms_lost: bool = False
    signals: dict[str, Any] = field(
        default_factory=lambda: {
            "pluggedIn": True, "soc": 80, "link": "WiFi", "charging": False, "sentry": False, "leaving": False,
            "door": False, "occupant": False, "boarding": False,
            "celsius": None, "state": None,
        }
    )  # fmt: skip
    departs: float | None = None
    car_time: float = 0.0
    latest_wall: float = 0.0
    spent: list[tuple[float, float, int]] = field(default_factory=list)
    """Car time, watt-hours of the battery, bytes."""

    def terms(self) -> list[dict[str, Any]]:
        return [POOL | (self.pool or {}), self.own]

    @property
    def state(self) -> str:
        told, plugged = self.signals["state"], self.signals["pluggedIn"]
        if told is not None and (plugged or told != "Charging"):
            return told
        if self.signals["charging"] and plugged:
            return "Charging"
        return "Awake" if self.signals["sentry"] or self.signals["occupant"] else "Asleep"

    def pass_(self, seconds: float, *, asleep: bool = False) -> None:
        self.hand.pass_(seconds, asleep=asleep)
        self.car_time += seconds
        self.latest_wall = max(self.latest_wall, self.hand.wall.timestamp())

    def reboot(self, off: float, set_by: float) -> None:
        self.hand.reboot(off, set_by)
        self.car_time += max(0.0, self.hand.wall.timestamp() - self.latest_wall)
        self.latest_wall = max(self.latest_wall, self.hand.wall.timestamp())

    def day(self) -> tuple[float, int]:
        """Kilometres and bytes of the last 24 hours."""
        rows = [row for row in self.spent if row[0] > self.car_time - DAY]
        return sum(row[1] for row in rows) / 140, sum(row[2] for row in rows)

    def forbidden(self) -> set[str]:
        """Every reason why the car may not work now, by the words of the manual."""
        now, found, kilometres, carried = self.signals, set(), *self.day()
        for terms in self.terms():
            found |= {
                reason
                for reason, holds in {
                    "NotPluggedIn": terms.get("requirePluggedIn", False) and not now["pluggedIn"],
                    "ChargeTooLow": now["soc"] < terms.get("minStateOfCharge", 0),
                    "LinkNotAllowed": now["link"] not in terms.get("links", list(Link)),
                    "RangeSpent": not now["pluggedIn"] and kilometres >= terms.get("maxRangeLossPerDay", inf),
                    "DataCapReached": carried >= size_of(terms.get("dataCapPerDay", "inf")),
                    "QuietHours": "quietHours" in terms
                    and self.state == "Asleep"
                    and within(terms["quietHours"], self.hand.wall.time()),
                    "DepartingSoon": self.departs is not None
                    and terms.get("readyBefore", "0s") == "30m"
                    and self.departs - self.car_time <= 1800,
                }.items()
                if holds
            }
        celsius = now["celsius"]
        hottest = min(70, *(terms.get("maxCelsius", 70) for terms in self.terms()))
        owed = self.own.get("energyPrice")
        asks = any(terms.get("netPositive", False) for terms in self.terms())
        others = {
            "Leaving": now["leaving"] or now["boarding"],
            "Paused": self.paused,
            "OwnerTermsLost": self.terms_lost,
            "TooHot": celsius is not None and celsius > hottest,
            "TooCold": celsius is not None and celsius < -20,
            "PriceUnknown": asks and owed is not None and self.paid is None,
            "PriceTooLow": asks and owed is not None and self.paid is not None and self.paid < owed,
        }
        return found | {reason for reason, holds in others.items() if holds}


class ContractLaws(RuleBasedStateMachine):
    """A car's life; `certificates` is set by the test."""

    certificates: Any

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="parkade-laws-", dir=MEMORY))
        models = self.directory / "models"
        models.mkdir()
        (models / digest_of(affine())).write_bytes(affine())
        self.world = World()
        self.world.latest_wall = self.world.hand.wall.timestamp()
        self.runner = asyncio.Runner()
        self.blocked: Path | None = None
        self.guessed = False
        """Whether a crash or damage made the agent count more than was spent."""
        self.start()
        self.told(FREE, None, work=True)
        self.signal({"pluggedIn": False})
        self.pause(paused=False)
        self.work(60, 1000, 4)

    def start(self) -> None:
        outfit = Outfit(
            Identity("v-1", "f", "hw4", 64 * 2**20, 1, 60.0), self.directory, self.certificates, OnnxRuntime(), None,
            Signals(), 2**30, recall=True,
        )  # fmt: skip

        async def make() -> Agent:
            return Agent(outfit, self.world.hand.sources())

        self.agent = self.runner.run(make())
        self.look()

    def look(self) -> None:
        """The agent's own look at the clocks, and time for what follows from it."""

        async def look() -> None:
            self.agent.apply()
            await until(self.quiet, 3)

        self.runner.run(look())

    def quiet(self) -> bool:
        """Whether what should run is ready, and what should not is gone."""
        replicas = list(self.agent.replicas.values())
        willing = self.agent.refusal() is None and self.world.assigned
        return all(r.accepting for r in replicas) and bool(replicas) == willing

    def step(self, seconds: float, *, busy: bool = False, carried: int = 0) -> None:
        """One stretch between two looks, in both books."""
        world, held = self.world, bool(self.agent.replicas)

        async def go() -> None:
            if busy:
                with self.agent.books.usage.busy():
                    world.pass_(seconds)
            else:
                world.pass_(seconds)
            if carried:
                self.agent.carried(carried)

        self.runner.run(go())
        watts = (245 if held and world.state == "Asleep" else 0) + (100 if busy else 0)
        battery = 0 if world.signals["pluggedIn"] else watts * seconds / 3600
        world.spent.append((world.car_time, battery, carried))
        self.look()

    # what happens

    @rule(terms=pool_terms, paid=st.sampled_from([None, 0.1, 0.3, 0.5]), work=st.booleans())
    def told(self, terms: dict[str, Any] | None, paid: float | None, *, work: bool) -> None:
        self.world.pool, self.world.paid, self.world.assigned = terms, paid, work
        entries = [assignment(None, affine(), "")] if work else []
        more = {"contract": terms} if terms is not None else {}
        more |= {"energyPrice": {"perKWh": str(paid)}} if paid is not None else {}

        async def receive() -> None:
            self.agent.receive(desired(*entries, **more))

        self.runner.run(receive())
        self.look()

    @rule(payload=st.sampled_from([b"", b"{}", b'{"v": 9}', desired(contract={"minStateOfCharge": 700})]))
    def told_garbage(self, payload: bytes) -> None:
        async def receive() -> None:
            self.agent.receive(payload)

        self.runner.run(receive())

    @rule(fields=signals)
    def signal(self, fields: dict[str, Any]) -> None:
        world = self.world
        world.signals |= {name: value for name, value in fields.items() if name != "departureIn"}
        now = world.signals
        stays = now["boarding"] and fields.get("leaving") is not False and (now["door"] or now["occupant"])
        now["boarding"] = fields.get("door", False) or stays
        if "departureIn" in fields:
            wait = fields["departureIn"]
            world.departs = None if wait is None else world.car_time + wait

        async def change() -> None:
            self.agent.change_signals(fields)

        self.runner.run(change())
        self.look()

    @rule(paused=st.booleans())
    def pause(self, *, paused: bool) -> None:
        if self.world.terms_lost and not paused:
            self.world.terms_lost = False
        self.world.paused = paused

        async def say() -> None:
            self.agent.pause(paused)

        self.runner.run(say())
        self.look()

    @rule(terms=own_terms)
    def tighten(self, terms: dict[str, Any]) -> None:
        async def say() -> Refusal | None:
            return self.agent.tighten(terms)

        if self.runner.run(say()) is None:
            self.world.own |= terms
        self.look()

    @rule(minutes=st.integers(1, 60))
    def wait(self, minutes: int) -> None:
        for _ in range(minutes):
            self.step(STEP)
            self.the_contract_holds()

    @rule(hours=st.sampled_from([1, 6, 11.5, 23.7, 24.1, 30]))
    def sleep(self, hours: float) -> None:
        self.world.pass_(hours * 3600, asleep=True)
        self.look()

    @precondition(lambda self: self.world.assigned)
    @rule(seconds=st.integers(1, 60), carried=st.sampled_from([0, 100, 4000, 9000]), times=st.integers(1, 40))
    def work(self, seconds: int, carried: int, times: int) -> None:
        for _ in range(times):
            if not any(replica.accepting for replica in self.agent.replicas.values()):
                return
            self.step(seconds, busy=True, carried=carried)
            self.the_contract_holds()

    @rule(by=st.sampled_from([-400 * DAY, -DAY, -7200.0, -3600.0, 3600.0, 7200.0, DAY, 400 * DAY]))
    def set_clock(self, by: float) -> None:
        self.world.hand.pass_(0)
        self.world.hand.set_wall(by)
        self.world.latest_wall = max(self.world.latest_wall, self.world.hand.wall.timestamp())
        self.look()

    @rule(
        crash=st.booleans(),
        off=st.none() | st.sampled_from([1.0, 3600.0, 30 * 3600.0]),
        set_by=st.sampled_from([0.0, 0.0, -2 * DAY, 2 * DAY]),
        damage=st.none() | st.tuples(st.sampled_from(FILES), st.sampled_from(DAMAGE)),
    )
    def restart(self, *, crash: bool, off: float | None, set_by: float, damage: tuple[str, bytes] | None) -> None:
        self.mend_disk()
        if crash:
            self.work(2, 500, 2)
        before = self.directory.with_suffix(".crash")
        if crash:
            shutil.copytree(self.directory, before)
            self.guessed = True
        self.runner.run(self.agent.close())
        if crash:
            shutil.rmtree(self.directory)
            before.rename(self.directory)
        if off is None:
            self.world.pass_(5)
        else:
            self.world.reboot(off, set_by)
        if damage is not None and (self.directory / damage[0]).exists():
            self.spoil(*damage)
        self.start()

    def spoil(self, name: str, content: bytes) -> None:
        (self.directory / name).write_bytes(content)
        world, self.guessed = self.world, True
        if name == "day.json":  # what the clock ever showed is forgotten with it
            world.latest_wall = world.hand.wall.timestamp()
        elif name == "owner.json":
            world.own, world.paused, world.terms_lost = {}, False, True
        elif name == "signals.json":
            world.signals = World().signals | {"leaving": True}
            world.departs = None
        elif name == "desired.json":
            world.pool, world.paid, world.assigned = None, None, False

    @precondition(lambda self: self.blocked is None)
    @rule(name=st.sampled_from(["day.json", "owner.json", "signals.json", "desired.json"]))
    def break_disk(self, name: str) -> None:
        self.blocked = self.directory / f".{name}.new"
        self.blocked.mkdir(exist_ok=True)

    @rule()
    def mend_disk(self) -> None:
        if self.blocked is not None:
            self.blocked.rmdir()
            self.blocked = None
            self.look()

    # what must hold

    @invariant()
    def the_contract_holds(self) -> None:
        agent, forbidden = self.agent, self.world.forbidden()
        replicas = list(agent.replicas.values())
        if forbidden:
            assert agent.refusal() is not None, forbidden
            assert not any(replica.accepting or replica.connections for replica in replicas), forbidden
        kilometres, carried = self.world.day()
        account = agent.spent()
        assert account.km >= kilometres - 1e-6, "a crash, a set clock or a fault made the car forget what it lost"
        assert account.bytes >= carried

    @invariant()
    def what_is_refused_is_refused_for_what_is_so(self) -> None:
        refusal = self.agent.refusal()
        if refusal is None:
            return
        reason, forbidden = str(refusal.reason), self.world.forbidden()
        if reason == "NotebookFails":
            assert self.blocked is not None
        elif reason in ("RangeSpent", "DataCapReached", "DepartingSoon") and (self.guessed or reason not in forbidden):
            # a quarter of an hour counts until its last second is a day old, and what a crash may have taken counts
            assert self.guessed or self.agent.spent().km > 0 or self.agent.spent().bytes > 0
        elif reason not in ("TooHot", "TooCold"):  # those have a memory
            assert reason in forbidden

    @invariant()
    def a_request_is_answered_exactly_where_it_may_be(self) -> None:
        async def ask() -> list[int]:
            return [await ask_app(r.app, ASK) for r in self.agent.replicas.values() if r.app is not None]

        allowed = self.agent.refusal() is None
        assert set(self.runner.run(ask())) <= ({200} if allowed else {503})

    def teardown(self) -> None:
        if hasattr(self, "agent"):
            self.runner.run(self.agent.close())
            self.runner.close()
            shutil.rmtree(self.directory)


@pytest.mark.slow
@pytest.mark.timeout(110)
def test_no_sequence_of_plans_signals_set_clocks_and_faults_breaks_the_contract(pki):
    laws = type("Laws", (ContractLaws,), {"certificates": pki.vehicle})
    run_state_machine_as_test(
        laws,
        settings=settings(
            max_examples=30,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
        ),
    )
