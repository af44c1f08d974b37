"""What is measured, one function a part; each returns a section of `docs/benchmarks.md`."""

import time
from dataclasses import dataclass
from typing import Any

from benchmarks.fleet.drivers import Drivers
from benchmarks.fleet.places import FleetPlane, until
from benchmarks.fleet.watching import Watching
from benchmarks.router.table import Must, Section

SEGMENT = 52
"""Bytes of the headers of TCP and IP with timestamps: of a segment, and of an acknowledgement without a segment."""
DAY = 86_400.0
PATIENCE = 900.0
"""Seconds for anything that has to happen to the whole fleet, at least."""
SLOWEST = 50
"""Vehicles a second below which something is wrong, on cores that are busy with other work too."""
ANNOUNCED = 900.0
"""Seconds in which a part of a pool announces its departure, were they not compressed."""


@dataclass(frozen=True)
class Terms:
    """Sizes and times; seconds."""

    vehicles: int
    servers: int
    cell: int
    beat: float
    idle: float
    lost: float
    """Fraction of the fleet whose link is lost."""
    outage: float
    vanished: float
    """Fraction."""
    departing: float
    """Fraction."""
    window: float
    """In which they announce it."""
    staying: float
    """From announcement to departure."""
    many: int
    """Cells of the part `cells`."""
    cars: int
    """Vehicles of each of them."""
    rest: float
    churn: float


@dataclass
class Run:
    """What parts share."""

    plane: FleetPlane
    drivers: Drivers
    terms: Terms

    @property
    def patience(self) -> float:
        """Seconds."""
        return max(PATIENCE, self.terms.vehicles / SLOWEST)

    def settled(self, here: int) -> bool:
        """Whether every vehicle that is connected was answered, and carlet counts it as Here."""
        report = self.drivers.report()
        return report["connected"] == here == report["answered"] and self.plane.present("Here") == here


def connect(run: Run) -> Section:
    """From nothing to every vehicle Here, and every replica ready."""
    plane, terms = run.plane, run.terms
    before = plane.loads()
    began = time.monotonic()
    until(lambda: plane.present("Here") == terms.vehicles, "every vehicle is Here", run.patience)
    here = time.monotonic() - began
    until(lambda: run.drivers.report()["ready"] >= plane.ordered, "every replica is ready", run.patience)
    ready = time.monotonic() - began
    until(lambda: run.settled(terms.vehicles), "every vehicle was answered", run.patience)
    report, after = run.drivers.report(), plane.loads()
    figures: dict[str, Any] = {
        "vehicles": terms.vehicles, "servers": terms.servers, "cells": len(plane.cells), "secondsToHere": here,
        "secondsToReady": ready, "handshakesPerSecond": report["dials"] / report["lastConnected"],
        "driverKilobytes": report["memoryBytes"] / terms.vehicles / 1e3,
        "ordersPerVehicle": report["orders"] / terms.vehicles, "dialsFailed": report["dialsFailed"],
    }  # fmt: skip
    for name, load in after.items():
        figures[f"{name}Kilobytes"] = load.memory / terms.vehicles / 1e3
        figures[f"{name}Megabytes"] = load.memory / 1e6
        figures[f"{name}CpuMillis"] = 1e3 * (load.seconds - before[name].seconds) / terms.vehicles
    rows = [
        ("vehicles, NATS servers, cells", f"{terms.vehicles:,}, {terms.servers}, {len(plane.cells)}"),
        ("seconds until all are Here; until every replica is ready", f"{here:.1f}; {ready:.1f}"),
        ("handshakes a second", f"{figures['handshakesPerSecond']:,.0f}"),
        *(
            (f"{who}: memory a vehicle, processor a vehicle until ready",
             f"{figures[f'{name}Kilobytes']:.1f} kB, {figures[f'{name}CpuMillis']:.1f} ms")
            for name, who in (("carlet", "carlet"), ("nats", "NATS"))
        ),
        ("driver: memory a vehicle", f"{figures['driverKilobytes']:.1f} kB"),
        ("desired sets a vehicle", f"{figures['ordersPerVehicle']:.1f}"),
    ]  # fmt: skip
    about = "Drivers dial as fast as they can, on the same cores as NATS, carlet and the control plane."
    return Section("Every vehicle connects", about, ("", "measured"), rows, [], figures)


def idle(run: Run) -> Section:
    """Beats alone."""
    plane, terms = run.plane, run.terms
    first, before, cycles = run.drivers.report(), plane.loads(), plane.metrics()
    time.sleep(terms.idle)
    last, after, later = run.drivers.report(), plane.loads(), plane.metrics()
    seconds = last["seconds"] - first["seconds"]
    each = DAY / seconds / terms.vehicles
    delta = {name: last[name] - first[name] for name in ("bytesUp", "bytesDown", "writesUp", "readsDown", "beats")}
    tls = each * (delta["bytesUp"] + delta["bytesDown"])
    wire = tls + each * SEGMENT * (delta["writesUp"] + 2 * delta["readsDown"])
    name = "parkade_carlet_cycle_seconds"
    passes = later[f"{name}_count"] - cycles[f"{name}_count"]
    cycle = (later[f"{name}_sum"] - cycles[f"{name}_sum"]) / max(passes, 1)
    figures: dict[str, Any] = {
        "seconds": seconds, "beatSeconds": terms.beat, "tlsBytesPerDay": tls, "wireBytesPerDay": wire,
        "cycleSeconds": cycle, "cyclesPerSecond": passes / seconds, "beatsPerSecond": delta["beats"] / seconds,
    }  # fmt: skip
    for who, load in after.items():
        figures[f"{who}Cores"] = (load.seconds - before[who].seconds) / seconds
        figures[f"{who}Kilobytes"] = load.memory / terms.vehicles / 1e3
    rows = [
        ("control traffic of a vehicle, TLS", f"{tls / 1e6:.2f} MB a day"),
        (f"{SEGMENT} bytes of headers with each segment and the car's acknowledgements", f"{wire / 1e6:.2f} MB a day"),
        ("carlet: processor, memory a vehicle",
         f"{figures['carletCores']:.2f} cores, {figures['carletKilobytes']:.1f} kB"),
        ("carlet: cycles a second, seconds of one", f"{figures['cyclesPerSecond']:.1f}, {cycle:.3f}"),
        ("NATS: processor, memory a vehicle", f"{figures['natsCores']:.2f} cores, {figures['natsKilobytes']:.1f} kB"),
    ]  # fmt: skip
    about = f"{seconds:.0f} s in which nothing happens but a beat every {terms.beat:g} s of each vehicle."
    musts = [Must("MB a day of an idle vehicle", wire / 1e6, 1.0)] if terms.beat >= 60 else []
    return Section("Idle", about, ("", "measured"), rows, musts, figures)


def lose(run: Run) -> Section:
    """A part of the cells loses its link together and comes back as fast as TLS allows."""
    plane, terms = run.plane, run.terms
    cells = plane.cells[: max(1, round(terms.lost * len(plane.cells)))]
    with Watching(plane) as watched:
        first, silenced = run.drivers.report(), plane.changed("Silent")
        vehicles = sum(count for cell, count in first["cells"].items() if cell in cells)
        run.drivers.tell(do="lose", cells=cells, **{"for": terms.outage}, jitter=0)
        began = time.monotonic() + terms.outage
        until(lambda: run.drivers.report()["dials"] - first["dials"] >= vehicles, "who was lost dials", run.patience)
        until(lambda: run.settled(terms.vehicles), "every vehicle is back", run.patience)
        until(lambda: run.drivers.report()["ready"] >= plane.ordered, "every replica is ready", run.patience)
        last, took = run.drivers.report(), time.monotonic() - began
        until(lambda: plane.shown(terms.vehicles), "the API server shows every vehicle and replica", run.patience)
        shown = run.drivers.report()["sinceLastConnected"]
        silenced = plane.changed("Silent") - silenced
    untouched = set(plane.cells) - set(cells)
    dials = last["dials"] - first["dials"]
    figures: dict[str, Any] = {
        "vehicles": vehicles, "secondsToAllRight": took, "dials": dials,
        "handshakesPerSecond": dials / max(took - last["sinceLastConnected"], 0.1),
        "resumed": last["resumedHandshakes"] - first["resumedHandshakes"],
        "dialsFailed": last["dialsFailed"] - first["dialsFailed"],
        "secondsFromLastToAnswer": last["sinceLastConnected"] - last["sinceLastOrder"],
        "secondsFromLastToRight": last["sinceLastConnected"], "secondsFromLastToShown": shown, "silenced": silenced,
        "untouchedSilent": sum(watched.silent.get(cell, 0) for cell in untouched),
        "reloads": last["reloads"] - first["reloads"], "unloads": last["unloadsByOrder"] - first["unloadsByOrder"],
        "nodesChanged": len((watched.changed | watched.lost) & untouched), "podsDeleted": len(watched.deleted),
        "podsUnready": len({pod for pod in watched.unready if pod[0] in untouched}), "watchGaps": watched.gaps,
    }  # fmt: skip
    rows = [
        ("vehicles, resumed handshakes", f"{vehicles:,}, {100 * figures['resumed'] / max(dials, 1):.0f} %"),
        ("handshakes a second, dials that failed",
         f"{figures['handshakesPerSecond']:,.0f}, {figures['dialsFailed']:,}"),
        ("seconds until all are back and right", f"{took:.1f}"),
        ("seconds from the last handshake to the last answer", f"{figures['secondsFromLastToAnswer']:.1f}"),
        ("seconds from the last handshake until vehicles and carlet are right; until the API server shows it",
         f"{figures['secondsFromLastToRight']:.1f}; {shown:.1f}"),
        ("vehicles that carlet counted as silent meanwhile", f"{silenced:,}"),
    ]  # fmt: skip
    musts = [
        Must("seconds from the last vehicle to the right state", figures["secondsFromLastToRight"], 30.0),
        Must("nodes of untouched cells that changed a condition", figures["nodesChanged"], 0),
        Must("vehicles of untouched cells that fell silent", figures["untouchedSilent"], 0),
        Must("pods of untouched cells that ceased to be ready", figures["podsUnready"], 0),
        Must("pods deleted", figures["podsDeleted"], 0),
        Must("models unloaded or loaded again", figures["reloads"] + figures["unloads"], 0),
    ]
    about = (
        f"The vehicles of {len(cells)} of {len(plane.cells)} cells lose their link for {terms.outage:g} s and all dial "
        "again at once. Nodes and pods are watched at the API server meanwhile: a change counts even if it is undone."
    )
    return Section("Link loss", about, ("", "measured"), rows, musts, figures)


def depart(run: Run) -> Section:
    """Announced departures: replicas are replaced before their cars are gone."""
    plane, terms = run.plane, run.terms
    first = run.drivers.report()
    run.drivers.tell(do="depart", fraction=terms.departing, over=terms.window, **{"for": terms.staying})
    samples: list[dict[str, Any]] = []
    deadline = time.monotonic() + terms.window + terms.staying + 5
    while time.monotonic() < deadline:
        samples.append(run.drivers.report())
        time.sleep(0.25)
    gone = first["vehicles"] - run.drivers.report()["connected"]
    until(lambda: run.drivers.report()["ready"] >= plane.ordered, "every replica is replaced", run.patience)
    last = run.drivers.report()
    overdue = sum(late_in(cell, samples, first, terms.staying) for cell in plane.cells)
    figures = {
        "vehicles": gone, "replicas": last["unloadsByContract"] - first["unloadsByContract"],
        "windowSeconds": terms.window, "stayingSeconds": terms.staying, "late": overdue,
        "compression": ANNOUNCED / terms.window, "samples": len(samples),
        "reloads": last["reloads"] - first["reloads"],
    }  # fmt: skip
    run.drivers.tell(do="arrive")
    until(lambda: run.settled(terms.vehicles), "the departed are back", run.patience)
    rows = [("vehicles, replicas they held", f"{gone:,}, {figures['replicas']:,}")]
    musts = [Must("replicas not replaced when their car was gone", overdue, 0)]
    about = (
        f"{100 * terms.departing:.0f} % announce their departure within {ANNOUNCED / 60:.0f} minutes, which are "
        f"compressed to {terms.window:g} s ({ANNOUNCED / terms.window:.0f} times as fast), and are gone "
        f"{terms.staying:g} s after it. Counted in each cell."
    )
    return Section("Announced departures", about, ("", "measured"), rows, musts, figures)


def late_in(cell: str, samples: list[dict[str, Any]], first: dict[str, Any], staying: float) -> int:
    """Most replicas of a cell that were missing when their cars were gone."""

    def counted(report: dict[str, Any]) -> tuple[int, int]:
        return report["cellUnloads"].get(cell, 0), report["cellLoads"].get(cell, 0)

    unloads, loads = counted(first)
    before = {"unloadsByContract": unloads, "loads": loads}
    return late([(report["seconds"], *counted(report)) for report in samples], before, staying)


def late(samples: list[tuple[float, int, int]], first: dict[str, Any], staying: float) -> int:
    """Most replicas that were missing when their cars were gone, the first withdrawn being the first replaced."""
    worst = 0
    for at, _, loads in samples:
        withdrawn = max((unloads for then, unloads, _ in samples if then <= at - staying), default=None)
        if withdrawn is not None:
            worst = max(worst, (withdrawn - first["unloadsByContract"]) - (loads - first["loads"]))
    return worst


def vanish(run: Run) -> Section:
    """Vehicles that are never heard again."""
    plane, terms = run.plane, run.terms
    before = run.drivers.report()
    began = time.monotonic()
    run.drivers.tell(do="vanish", fraction=terms.vanished)
    after = run.drivers.report()
    missing = before["connected"] - after["connected"]
    until(
        lambda: plane.present("Here") <= terms.vehicles - missing, "silence is noticed", 3 * terms.beat + run.patience
    )
    took = time.monotonic() - began
    figures = {
        "vehicles": missing, "beatSeconds": terms.beat, "secondsToNoticed": took,
        "silent": plane.present("Silent"), "gone": plane.present("Gone"),
        "mistaken": max(0, terms.vehicles - missing - plane.present("Here")),
    }  # fmt: skip
    run.drivers.tell(do="arrive")
    until(lambda: run.settled(terms.vehicles), "the vanished are back", run.patience)
    rows = [
        ("vehicles", f"{missing:,}"),
        (f"seconds until the last of them is noticed, beats being {terms.beat:g} s apart", f"{took:.1f}"),
        ("vehicles that are counted as silent then, though they are not", f"{figures['mistaken']:,}"),
    ]
    musts = [Must("seconds until silence is noticed, over the beat interval", took - terms.beat, 15.0)]
    return Section("Vanishing without a word", "They close nothing and say nothing.", ("", "measured"), rows, musts,
                   figures)  # fmt: skip


PARTS = {"connect": connect, "idle": idle, "lose": lose, "depart": depart, "vanish": vanish}
