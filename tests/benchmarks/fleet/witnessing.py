"""False "Gone": cars that lose their link where they stand, and cars that leave, seen by chargers and by nobody.

Carlet tells nobody how it judges one car, so truth and judgement are compared by fleet: in a fleet that never leaves
every Gone is false, and in one that leaves at known instants every car that is not Gone in time is missed.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.fleet import manifests
from benchmarks.fleet.drivers import Drivers
from benchmarks.fleet.parts import PATIENCE, Terms
from benchmarks.fleet.places import CLIENTS_PER_SERVER, WORKLOADS, FleetPlane, until
from benchmarks.router.table import Must, Section

VEHICLES: Final = 12_000
"""Vehicles at most. If none of 5,000 losses is taken for a departure, under 0.06 % are, at 95 % confidence (3/n)."""
LINKS: Final = "Cellular=0.8,Starlink=0.2"
ANNOUNCING: Final = 0.5
"""Of the cars that leave; the others say nothing."""
ALLOWANCE: Final = 15.0
"""Seconds beyond keepFor and a beat within which a silent departure must be noticed."""
AT_ONCE: Final = 5.0
"""Seconds for an announced departure: of a thousand cars in one instant, on cores that they share with all else."""


@dataclass(frozen=True)
class Pace:
    """Seconds, all in proportion to a beat: those of a beat of 60 s are the real ones."""

    beat: float

    @property
    def keep_for(self) -> float:
        """5 min: the default of `linkLoss.keepFor`."""
        return 5 * self.beat

    @property
    def sighting(self) -> float:
        """2 min: a charger speaks of its car at least every half of keepFor."""
        return 2 * self.beat

    @property
    def over(self) -> float:
        """5 min in which all losses begin."""
        return 5 * self.beat

    @property
    def stretch(self) -> float:
        """Outages of the traces last 1 to 81 s; half of those of 5G 12 s and longer, which become 6 min."""
        return self.beat / 2

    @property
    def least(self) -> float:
        """2 min."""
        return 2 * self.beat

    @property
    def most(self) -> float:
        """20 min."""
        return 20 * self.beat

    @property
    def noticed(self) -> float:
        """After which a departure without a word must have been noticed."""
        return self.keep_for + self.beat + ALLOWANCE


@dataclass(frozen=True)
class Fleet:
    """A fleet with a pool of its own."""

    name: str
    vehicles: int
    chargers: bool
    leaves: bool


def fleets_of(vehicles: int) -> list[Fleet]:
    """Five of six stand there; half of each kind have a charger that speaks."""
    standing, leaving = vehicles * 5 // 12, vehicles // 12
    return [
        Fleet("standing-seen", standing, chargers=True, leaves=False),
        Fleet("standing-alone", standing, chargers=False, leaves=False),
        Fleet("leaving-seen", leaving, chargers=True, leaves=True),
        Fleet("leaving-alone", leaving, chargers=False, leaves=True),
    ]


class WitnessedPlane(FleetPlane):
    """A pool for each fleet, with cells and their orders."""

    def __init__(self, directory: Path, fleets: list[Fleet], cell: int, pace: Pace) -> None:
        vehicles = sum(fleet.vehicles for fleet in fleets)
        super().__init__(directory, vehicles, -(-vehicles // CLIENTS_PER_SERVER), cell)
        self.fleets, self.pace = fleets, pace

    def _apply(self) -> None:
        objects = [manifests.namespace(), *(manifests.workload(name, self.digest) for name in WORKLOADS)]
        for fleet in self.fleets:
            objects += self._pool(fleet)
        self._apply_all(objects)

    def _pool(self, fleet: Fleet) -> list[dict[str, Any]]:
        pool = manifests.pool(fleet.name, fleet.name, fleet.vehicles)
        pool["spec"]["linkLoss"] = {"keepFor": f"{1000 * self.pace.keep_for:.0f}ms"}
        pool["spec"]["contract"]["links"].append("Cellular")
        orders = manifests.orders(WORKLOADS, self.digest, self.replicas)
        shards = range(-(-fleet.vehicles // self.cell_size))
        return [pool, *(manifests.cell(fleet.name, shard, self.cell_size, orders) for shard in shards)]

    def in_presence(self, fleet: Fleet, presence: str) -> int:
        """Vehicles of a fleet, as carlet has them."""
        return int(self.metrics().get(f'parkade_vehicles{{pool="{fleet.name}",presence="{presence}"}}', 0))

    def became_gone(self, fleet: Fleet) -> dict[str, int]:
        """How often vehicles of a fleet became Gone, by evidence."""
        name, pool = "parkade_vehicle_changes_total{", f'pool="{fleet.name}"'
        found = {}
        for key, count in self.metrics().items():
            if key.startswith(name) and pool in key and 'presence="Gone"' in key:
                found[key.partition('evidence="')[2].partition('"')[0]] = int(count)
        return found


class Trial:
    """The fleets, their drivers, and what happens to them."""

    def __init__(self, plane: WitnessedPlane, drivers: Mapping[str, Drivers]) -> None:
        self.plane, self.drivers, self.pace = plane, drivers, plane.pace
        self.standing = [fleet for fleet in plane.fleets if not fleet.leaves]
        self.leaving = [fleet for fleet in plane.fleets if fleet.leaves]
        self.figures: dict[str, Any] = {
            "beatSeconds": self.pace.beat, "keepForSeconds": self.pace.keep_for, "sightingSeconds": self.pace.sighting,
            "overSeconds": self.pace.over, "stretch": self.pace.stretch, "leastSeconds": self.pace.least,
            "mostSeconds": self.pace.most,
        }  # fmt: skip

    def tell(self, fleets: list[Fleet], **command: object) -> None:
        """Give the drivers of fleets a command."""
        for fleet in fleets:
            self.drivers[fleet.name].tell(**command)

    def report(self, fleet: Fleet) -> dict[str, Any]:
        """What a fleet's drivers say."""
        return self.drivers[fleet.name].report()

    def here(self, fleets: list[Fleet]) -> bool:
        """Whether all vehicles are connected, and Here by carlet's word."""
        return all(
            self.report(fleet)["connected"] == fleet.vehicles == self.plane.in_presence(fleet, "Here")
            for fleet in fleets
        )

    def run(self) -> None:
        """Announced departures, then losses of links everywhere, and among them departures without a word."""
        patience = max(PATIENCE, self.plane.vehicles / 10)
        until(lambda: self.here(self.plane.fleets), "every vehicle is Here", patience)
        self._announce()
        before = {fleet: (self.report(fleet), self.plane.became_gone(fleet)) for fleet in self.standing}
        began = time.monotonic()
        pace = self.pace
        self.tell(
            self.plane.fleets, do="lose", over=pace.over, stretch=pace.stretch, least=pace.least, most=pace.most
        )  # fmt: skip
        time.sleep(pace.over / 2)
        self._vanish()
        left = pace.over + pace.most - (time.monotonic() - began)
        time.sleep(max(left, 0.0))
        until(lambda: self.here(self.standing), "every vehicle that stands there is Here again", patience)
        for fleet in self.standing:
            self._judge(fleet, *before[fleet])

    def _announce(self) -> None:
        self.tell(self.leaving, do="depart", fraction=ANNOUNCING, **{"for": self.pace.beat / 6})
        announced = {fleet: self.report(fleet)["departures"] for fleet in self.leaving}
        self.figures["secondsToAnnouncedGone"] = until(
            lambda: all(self.plane.in_presence(fleet, "Gone") >= count for fleet, count in announced.items()),
            "announced departures are Gone", PATIENCE,
        )  # fmt: skip
        for fleet, count in announced.items():
            self.figures[fleet.name] = {"announced": count, "silent": fleet.vehicles - count}

    def _vanish(self) -> None:
        """All that are left of the leaving fleets go in one instant; some of them have lost their link before."""
        lost = {fleet: self._unheard(fleet) for fleet in self.leaving}
        self.tell(self.leaving, do="vanish")
        began = time.monotonic()
        late: dict[str, dict[str, float]] = {fleet.name: {} for fleet in self.leaving}
        while (elapsed := time.monotonic() - began) < self.pace.noticed:
            for fleet in self.leaving:
                share = self.plane.in_presence(fleet, "Gone") / fleet.vehicles
                for percent in (99, 100):
                    if share >= percent / 100:
                        late[fleet.name].setdefault(f"secondsTo{percent}Percent", elapsed)
            if all("secondsTo100Percent" in found for found in late.values()):
                break
            time.sleep(min(1.0, self.pace.noticed / 100))
        for fleet in self.leaving:
            gone = self.plane.in_presence(fleet, "Gone")
            self.figures[fleet.name] |= late[fleet.name] | {
                "gonePercent": 100 * gone / fleet.vehicles, "lostBefore": lost[fleet],
            }  # fmt: skip

    def _unheard(self, fleet: Fleet) -> int:
        """Vehicles of a leaving fleet that have not left and are not connected."""
        report = self.report(fleet)
        return int(report["vehicles"] - report["away"] - report["connected"])

    def _judge(self, fleet: Fleet, before: Mapping[str, Any], gone_before: Mapping[str, int]) -> None:
        report = self.report(fleet)
        gone = {by: count - gone_before.get(by, 0) for by, count in self.plane.became_gone(fleet).items()}
        losses, false = report["losses"] - before["losses"], sum(gone.values())
        self.figures[fleet.name] = {
            "losses": losses, "meanLossSeconds": (report["lostSeconds"] - before["lostSeconds"]) / losses,
            "falseGone": false, "falseGonePercent": 100 * false / losses, "falseGoneByEvidence": gone,
            "unloadsByOrder": report["unloadsByOrder"] - before["unloadsByOrder"],
        }  # fmt: skip


def witness(folder: Path, terms: Terms) -> Section:
    """A plane and fleets of its own, at the pace of the beat."""
    pace, fleets = Pace(terms.beat), fleets_of(min(terms.vehicles, VEHICLES))
    plane = WitnessedPlane(folder, fleets, terms.cell, pace)
    plane.build()
    try:
        plane.start()
        with driven(plane) as drivers:
            trial = Trial(plane, drivers)
            trial.run()
            return section(trial.figures)
    finally:
        plane.stop()


@contextlib.contextmanager
def driven(plane: WitnessedPlane) -> Iterator[Mapping[str, Drivers]]:
    """Drivers of each fleet; they end together."""
    with contextlib.ExitStack() as stack:
        found = {}
        for fleet in plane.fleets:
            flags = ["--beat", f"{plane.pace.beat:g}s", "--links", LINKS]
            if fleet.chargers:
                flags += ["--chargers", "1", "--sighting", f"{plane.pace.sighting:g}s"]
            drivers = Drivers(plane, *flags, fleet=fleet.name, vehicles=fleet.vehicles)
            found[fleet.name] = stack.enter_context(drivers)
        yield found


def section(figures: Mapping[str, Any]) -> Section:
    """What was found, beside what must hold."""
    seen, alone = figures["standing-seen"], figures["standing-alone"]
    left_seen, left_alone = figures["leaving-seen"], figures["leaving-alone"]
    pace = Pace(figures["beatSeconds"])

    def both(words: str, name: str, form: str, fleets: tuple[Mapping[str, Any], Mapping[str, Any]]) -> tuple[str, ...]:
        return (words, *(form.format(fleet.get(name, float("nan"))) for fleet in fleets))

    rows = [
        both("links lost by cars that stood there", "losses", "{:,}", (seen, alone)),
        both("seconds that a link was lost, on average", "meanLossSeconds", "{:.0f}", (seen, alone)),
        both("cars said to be Gone that stood there", "falseGone", "{:,}", (seen, alone)),
        both("percent of the losses", "falseGonePercent", "{:.2f}", (seen, alone)),
        both("replicas taken from them", "unloadsByOrder", "{:,}", (seen, alone)),
        both("cars that announced their departure", "announced", "{:,}", (left_seen, left_alone)),
        both("cars that left without a word", "silent", "{:,}", (left_seen, left_alone)),
        both("of these, link lost before", "lostBefore", "{:,}", (left_seen, left_alone)),
        both("seconds until 99 % of all that left are Gone", "secondsTo99Percent", "{:.1f}", (left_seen, left_alone)),
    ]
    musts = [
        Must("percent of the losses after which a car that stood there is said to be Gone, with chargers",
             seen["falseGonePercent"], 0.1),
        *(
            Must(f"percent of the departed that are Gone within keepFor + {pace.noticed - pace.keep_for:g} s, {which}",
                 fleet["gonePercent"], 99.0, at_least=True)
            for which, fleet in (("with chargers", left_seen), ("without", left_alone))
        ),
        Must("seconds until the last announced departure is Gone", figures["secondsToAnnouncedGone"], AT_ONCE),
    ]  # fmt: skip
    about = (
        f"Links are lost as in the real traces of 5G (4 of 5 cars) and Starlink, outages **stretched {pace.stretch:g} "
        f"times**, {pace.least:g} s at least and {pace.most:g} s at most; all begin within {pace.over:g} s. keepFor is "
        f"{pace.keep_for:g} s, beats are {pace.beat:g} s apart, and a charger, which has a line of its own, speaks of "
        f"its car every {pace.sighting:g} s. Meanwhile other cars leave: half of them announce it, the rest go in one "
        "instant without a word."
    )
    head = ("", "with chargers", "without witnesses")
    return Section("Lost links and departures told apart", about, head, rows, musts, figures)
