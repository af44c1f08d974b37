"""What is measured of the operator's cycle, one function a part; each returns a section of `docs/benchmarks.md`."""

import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx

from benchmarks.cycle.places import CyclePlane
from benchmarks.fleet.accounts import Accountant, Spent, spent
from benchmarks.fleet.drivers import Drivers
from benchmarks.fleet.manifests import NAMESPACE
from benchmarks.fleet.places import until
from benchmarks.router.table import Must, Section

PATIENCE: Final = 1_800.0
CELLS: Final = "/apis/parkade.dev/v1alpha1/vehiclecells"
WORKLOADS: Final = f"/apis/parkade.dev/v1alpha1/namespaces/{NAMESPACE}/inferenceworkloads"
PHASES: Final = ("read", "plan", "solve", "diff", "recheck", "apply", "report")


@dataclass(frozen=True)
class Terms:
    """Sizes and times; seconds."""

    workloads: int
    cells: int
    cars: int
    beat: float
    rest: float
    steady: float
    """Without a change, after which everything is as planned."""
    events: int


@dataclass
class Run:
    """What parts share."""

    plane: CyclePlane
    drivers: Drivers
    terms: Terms


def settle(run: Run) -> Section:
    """From the operator's start to every cell made, and every replica ordered and ready."""
    plane, terms = run.plane, run.terms
    began = time.monotonic()
    until(lambda: plane.present("Here") == plane.vehicles, "every vehicle is Here", PATIENCE)
    until(lambda: ordered(plane) >= 2 * terms.workloads, "every workload is ordered", PATIENCE)
    placed = time.monotonic() - began
    quiet(run)
    replicas = ordered(plane)
    until(lambda: run.drivers.report()["ready"] >= replicas, "every replica is ready", PATIENCE)
    took = time.monotonic() - began
    figures = {"workloads": terms.workloads, "cells": terms.cells, "vehicles": plane.vehicles, "replicas": replicas,
               "secondsToOrdered": placed, "secondsToSteady": took}  # fmt: skip
    rows = [
        ("workloads, cells, vehicles, replicas",
         f"{terms.workloads:,}, {terms.cells:,}, {plane.vehicles:,}, {replicas:,}"),
        ("seconds until every workload is ordered; until nothing changes any more", f"{placed:.0f}; {took:.0f}"),
    ]  # fmt: skip
    return Section("Operator: from nothing to steady", "On the cores of API server, etcd, carlet, NATS and vehicles.",
                   ("", "measured"), rows, [], figures)  # fmt: skip


def rest(run: Run) -> Section:
    """Nothing changes but what vehicles and time do."""
    plane, accountant = run.plane, Accountant(run.plane)
    quiet(run)
    before, load, metrics = accountant.read(), plane.operator_load(), plane.operator_metrics()
    time.sleep(run.terms.rest)
    after, later, counted = accountant.read(), plane.operator_load(), plane.operator_metrics()
    accountant.close()
    used = spent(before, after)
    cores, megabytes = (later.seconds - load.seconds) / used.seconds, later.memory / 1e6
    cycles = _cycles(counted) - _cycles(metrics)
    figures: dict[str, Any] = {
        "seconds": used.seconds, "cores": cores, "megabytes": megabytes, "cycles": cycles,
        "phases": _phases(metrics, counted), "requestsPerSecond": dict(used.lines), "answeredBytes": used.answered,
        "watchedBytes": used.watched, "etcdBytes": after.database, "etcdUsedBytes": after.used,
    }  # fmt: skip
    rows = [
        ("processor, memory", f"{100 * cores:.1f} % of a core, {megabytes:,.0f} MB"),
        ("cycles a minute; seconds of one, by phase", f"{60 * cycles / used.seconds:.1f}; {_told(figures['phases'])}"),
        *_costs(used),
        ("etcd: file, in use", f"{after.database / 1e6:,.0f} MB, {after.used / 1e6:,.0f} MB"),
    ]
    musts = [
        Must("MB of the operator at rest", megabytes, 200),
        Must("percent of a core of the operator at rest", 100 * cores, 1),
    ]
    about = f"{used.seconds:.0f} s in which no manifest changes; vehicles beat every {run.terms.beat:g} s."
    return Section("Operator: at rest", about, ("", "measured"), rows, musts, figures)


def events(run: Run) -> Section:
    """Somebody changes one workload after the other; each order is awaited at the API server."""
    plane, accountant = run.plane, Accountant(run.plane)
    quiet(run)
    before, metrics, load = accountant.read(), plane.operator_metrics(), plane.operator_load()
    waits = []
    with Orders(plane) as orders:
        for number in range(run.terms.events):
            name = plane.workloads[number * len(plane.workloads) // run.terms.events]
            key = f"{NAMESPACE}/{name}"
            wanted = orders.of(key) + 1
            began = time.monotonic()
            plane.patch(f"{WORKLOADS}/{name}", {"spec": {"placement": {"minReplicas": wanted}}})
            waits.append(orders.await_more(key, wanted, PATIENCE) - began)
            time.sleep(1.0)
    after, counted, later = accountant.read(), plane.operator_metrics(), plane.operator_load()
    accountant.close()
    waits.sort()
    used, cycles = spent(before, after), max(1.0, _cycles(counted) - _cycles(metrics))
    figures: dict[str, Any] = {
        "events": len(waits), "p50": quantile(waits, 0.5), "p99": quantile(waits, 0.99), "worst": waits[-1],
        "cycles": cycles, "phases": _phases(metrics, counted), "cores": (later.seconds - load.seconds) / used.seconds,
        "megabytes": later.memory / 1e6,
        "requestsACycle": {line: rate * used.seconds / cycles for line, rate in used.lines.items()},
        "answeredBytesACycle": used.answered * used.seconds / cycles, "etcdBytes": after.database,
    }  # fmt: skip
    rows = [
        ("seconds from the change to the order, p50, p99, worst",
         f"{figures['p50']:.2f}, {figures['p99']:.2f}, {figures['worst']:.2f}"),
        ("cycles; seconds of one, by phase", f"{cycles:.0f}; {_told(figures['phases'])}"),
        ("a cycle: requests of everybody, MB answered",
         f"{sum(figures['requestsACycle'].values()):.0f}, {figures['answeredBytesACycle'] / 1e6:.1f} MB"),
        ("processor, memory", f"{100 * figures['cores']:.0f} % of a core, {figures['megabytes']:,.0f} MB"),
    ]  # fmt: skip
    musts = [Must("seconds from the change to the order, p99", figures["p99"], 2.0)]
    about = (
        f"{len(waits)} times somebody asks for one replica more of a workload; the clock stops when a watch of the "
        "cells shows it ordered. Half a second of it is the operator waiting for further changes."
    )
    return Section("Operator: from a change to the order", about, ("", "measured"), rows, musts, figures)


class Orders:
    """Follows what cells are ordered, by a watch."""

    def __init__(self, plane: CyclePlane) -> None:
        self.plane = plane
        self.cells: dict[str, dict[str, int]] = {}
        self.changed = threading.Condition()
        self.ended = False
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        found = self.plane.api.get(CELLS).raise_for_status().json()
        for cell in found["items"]:
            self._take(cell)
        self.version = found["metadata"]["resourceVersion"]
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True

    def of(self, workload: str) -> int:
        """Replicas that are ordered now."""
        with self.changed:
            return sum(lines.get(workload, 0) for lines in self.cells.values())

    def await_more(self, workload: str, replicas: int, seconds: float) -> float:
        """When so many were ordered, by the monotonic clock."""
        ends = time.monotonic() + seconds
        with self.changed:
            while sum(lines.get(workload, 0) for lines in self.cells.values()) < replicas:
                if not self.changed.wait(ends - time.monotonic()):
                    raise RuntimeError(f"{workload} is not ordered {replicas} times after {seconds:g} s")
        return time.monotonic()

    def _follow(self) -> None:
        query = {"watch": "true", "resourceVersion": self.version, "timeoutSeconds": "3000"}
        with (
            suppress(httpx.TransportError),  # the plane ends
            self.plane.api.stream("GET", CELLS, params=query, timeout=httpx.Timeout(30.0, read=None)) as lines,
        ):
            for line in lines.iter_lines():
                if self.ended:
                    return
                event = json.loads(line)
                if event["type"] in ("ADDED", "MODIFIED"):
                    with self.changed:
                        self._take(event["object"])
                        self.changed.notify_all()

    def _take(self, cell: Mapping[str, Any]) -> None:
        lines = {line["workload"]: int(line["replicas"]) for line in cell["spec"].get("assignments") or ()}
        self.cells[cell["metadata"]["name"]] = lines


def ordered(plane: CyclePlane) -> int:
    """Replicas that cells are ordered to hold."""
    items = plane.api.get(CELLS).raise_for_status().json()["items"]
    return sum(int(line["replicas"]) for cell in items for line in cell["spec"].get("assignments") or ())


def quiet(run: Run) -> None:
    """Wait until the operator has changed nothing for a while."""

    def changed() -> float:
        return sum(
            value for name, value in run.plane.operator_metrics().items() if name.startswith("parkade_changes_total")
        )

    last, since = changed(), time.monotonic()
    ends = since + PATIENCE
    while time.monotonic() - since < run.terms.steady:
        time.sleep(1.0)
        now = changed()
        if now != last:
            last, since = now, time.monotonic()
        if time.monotonic() > ends:
            raise RuntimeError(f"the operator still changes something after {PATIENCE:g} s")


def quantile(ordered_values: list[float], q: float) -> float:
    """By nearest rank."""
    return ordered_values[min(len(ordered_values) - 1, int(q * len(ordered_values)))]


def _cycles(metrics: Mapping[str, float]) -> float:
    return sum(value for name, value in metrics.items() if name.startswith("parkade_cycles_total"))


def _phases(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Mean seconds of each phase."""
    found = {}
    for phase in PHASES:
        count, total = (f'parkade_cycle_phase_seconds_{part}{{phase="{phase}"}}' for part in ("count", "sum"))
        passes = after.get(count, 0.0) - before.get(count, 0.0)
        if passes:
            found[phase] = (after[total] - before.get(total, 0.0)) / passes
    return found


def _told(phases: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.2f}" for name, seconds in phases.items()) or "none"


def _costs(used: Spent) -> list[tuple[str, str]]:
    return [
        ("API server: requests a second of everybody, MB a minute answered, MB a minute watched",
         f"{used.requests:.1f}, {60 * used.answered / 1e6:.1f}, {60 * used.watched / 1e6:.1f}"),
    ]  # fmt: skip
