"""Thousands of cells on a stock control plane: what they cost the API server and etcd, with one carlet and with two."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import httpx

from benchmarks.fleet import manifests
from benchmarks.fleet.accounts import Account, Accountant, Spent, spent
from benchmarks.fleet.drivers import Drivers
from benchmarks.fleet.parts import Terms
from benchmarks.fleet.places import CLIENTS_PER_SERVER, WORKLOADS, FleetPlane, until
from benchmarks.fleet.watching import Watching
from benchmarks.router.table import Must, Section
from parkade.local import ports
from parkade.local.processes import LaunchSpec

KUBELET_RENEWAL: Final = 10.0
"""Seconds between two renewals of a Node's Lease by a stock kubelet: a quarter of its 40 s."""
COALESCED: Final = 10.0
"""Seconds in which the supply of a cell may be written once."""
PROMISED: Final = 15.0
"""Seconds until another carlet serves the cells of one that was killed."""
ETCD_QUOTA: Final = 2 * 2**30
"""Bytes of a database by default; etcd takes no more writes then."""
OTHER_LEASES: Final = 2.0
"""Writes a second of the Leases of carlets, the API server and the controllers."""
PATIENCE: Final = 900.0
GIVEN_ANEW: Final = 40
"""Cells of a killed carlet that are given another order."""
CELLS_PATH: Final = "/apis/parkade.dev/v1alpha1/vehiclecells"


MOVING: Final = 0.2
"""Fraction of the vehicles that announce their departure in the churn, and of those that lose their link."""
OUTAGE: Final = 20.0
"""Seconds of a lost link, and from announcement to departure."""
CARLETS: Final = 2


class ManyCells(FleetPlane):
    """A plane on which two carlets may share the cells."""

    def __init__(self, directory: Path, terms: Terms) -> None:
        vehicles = terms.many * terms.cars
        super().__init__(directory, vehicles, -(-vehicles // CLIENTS_PER_SERVER), terms.cars)
        self.other = dict(zip(("models", "kubelet", "metrics"), ports.choose(3), strict=True))

    def start_other(self) -> None:
        """Start a second carlet."""
        spec = super()._carlet()
        mine = {
            "id": "other", "models-listen": f"127.0.0.1:{self.other['models']}",
            "models-advertise": f"127.0.0.1:{self.other['models']}",
            "kubelet-listen": f"127.0.0.1:{self.other['kubelet']}", "metrics": f"127.0.0.1:{self.other['metrics']}",
        }  # fmt: skip
        flags = (replaced(flag, mine) for flag in spec.argv)
        self.processes.start("carlet-other", LaunchSpec(tuple(flags), spec.env))
        self.await_url("carlet-other", f"http://127.0.0.1:{self.other['metrics']}/readyz")

    def served(self) -> tuple[int, int]:
        """Cells that each carlet says it serves; 0 of one that does not run."""
        return self._cells_at(self.ports["carlet-metrics"]), self._cells_at(self.other["metrics"])

    def _cells_at(self, port: int) -> int:
        try:
            text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10.0, trust_env=False).text
        except httpx.TransportError:
            return 0
        lines = [line for line in text.splitlines() if line.startswith("parkade_carlet_cells ")]
        return int(float(lines[0].split()[1])) if lines else 0

    def cells_of(self, port: int) -> list[str]:
        """Cells whose nodes lead to the carlet with that kubelet port."""
        nodes = self.api.get("/api/v1/nodes").raise_for_status().json()["items"]
        return [
            node["metadata"]["name"] for node in nodes
            if node["status"].get("daemonEndpoints", {}).get("kubeletEndpoint", {}).get("Port") == port
        ]  # fmt: skip

    def order(self, cells: list[str], replicas: int) -> None:
        """Give cells another order."""
        orders = manifests.orders(WORKLOADS, self.digest, replicas)
        for cell in cells:
            self.api.patch(
                f"{CELLS_PATH}/{cell}", content=json.dumps({"spec": {"assignments": orders}}),
                headers={"content-type": "application/merge-patch+json"},
            ).raise_for_status()  # fmt: skip

    def met(self, cells: list[str], replicas: int) -> bool:
        """Whether these cells show that many replicas of each workload, ordered and ready."""
        found = self.api.get(CELLS_PATH).raise_for_status().json()["items"]
        shown = {cell["metadata"]["name"]: cell.get("status", {}).get("assignments", []) for cell in found}
        return all(
            len(shown[cell]) == len(WORKLOADS)
            and all(line["desired"] == replicas <= line["ready"] for line in shown[cell])
            for cell in cells
        )


def replaced(flag: str, mine: Mapping[str, object]) -> str:
    """The flag with a value of one's own, if there is one."""
    name = flag.removeprefix("--").partition("=")[0]
    return f"--{name}={mine[name]}" if flag.startswith("--") and name in mine else flag


class StatusWrites(Watching):
    """Follows the status of cells, from entering to leaving."""

    def __init__(self, plane: FleetPlane) -> None:
        super().__init__(plane)
        self.writes: dict[str, int] = {}
        self.supply: dict[str, int] = {}
        """Writes that show nothing new but vehicles."""
        self.seconds = 0.0
        self._shown: dict[str, Any] = {}
        self._began = 0.0

    def paths(self) -> list[tuple[str, Callable[[str, Mapping[str, Any]], None]]]:
        """Cells alone."""
        self._began = time.monotonic()
        return [(CELLS_PATH, self.cell)]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        super().__exit__(kind, error, trace)
        self.seconds = time.monotonic() - self._began

    def cell(self, what: str, cell: Mapping[str, Any]) -> None:
        """Take in an event of a cell."""
        name, status = cell["metadata"]["name"], cell.get("status", {})
        before = self._shown.get(name)
        self._shown[name] = status
        if what != "MODIFIED" or before is None or before == status:
            return
        self.writes[name] = self.writes.get(name, 0) + 1
        if decisive(before) == decisive(status):
            self.supply[name] = self.supply.get(name, 0) + 1

    def most(self, counts: Mapping[str, int]) -> float:
        """Writes in COALESCED seconds of the cell with the most; the first one costs no time."""
        return max(0, max(counts.values(), default=0) - 1) * COALESCED / self.seconds

    def mean(self, cells: int) -> float:
        """Writes of a cell in COALESCED seconds."""
        return sum(self.writes.values()) / cells * COALESCED / self.seconds


def decisive(status: Mapping[str, Any]) -> object:
    """What may be written at once: whether orders are met and why not, and whether there is anybody at all."""
    return (
        status.get("observedGeneration"), bool(status.get("supply")),
        [(each["type"], each["status"], each["reason"]) for each in status.get("conditions", [])],
        [(each["workload"], each["desired"], each["ready"], each["reason"]) for each in status.get("assignments", [])],
    )  # fmt: skip


@dataclass
class Phase:
    """A while in which something was counted."""

    name: str
    carlets: int
    spent: Spent
    before: Account
    after: Account
    wrote: StatusWrites

    def figures(self, cells: int) -> dict[str, Any]:
        """Unrounded."""
        used, took = self.spent, self.spent.seconds
        return {
            "phase": self.name, "carlets": self.carlets, "seconds": took, "requestsPerSecond": used.requests,
            "writesPerSecond": used.writes, "byVerb": dict(used.verbs),
            "byLine": {line: rate for line, rate in used.lines.items() if rate >= 0.01},
            "leasesPerSecond": used.of("leases"), "nodesPerSecond": used.of("nodes"),
            "cellsPerSecond": used.of("vehiclecells"), "podsPerSecond": used.of("pods"), "rejected": used.rejected,
            "etcdBytesIn": used.received, "etcdBytesOut": used.sent, "answeredBytes": used.answered,
            "watchedBytes": used.watched, "cores": dict(used.cores), "memory": dict(self.after.memory),
            "databaseBytes": self.after.database, "databaseBytesInUse": self.after.used,
            "databaseBytesPerHour": 3600 * (self.after.database - self.before.database) / took,
            "statusWritesOfACell": self.wrote.mean(cells), "supplyWritesOfACell": self.wrote.most(self.wrote.supply),
        }  # fmt: skip


def many_cells(directory: Path, terms: Terms) -> Section:
    """Measure at rest and in churn, with one carlet and with two, and kill one of them."""
    plane = ManyCells(directory, terms)
    plane.build()
    try:
        plane.start()
        accountant = Accountant(plane)
        with Drivers(plane, "--beat", f"{terms.beat:g}s", vehicles=plane.vehicles) as drivers:
            return measured(plane, drivers, accountant, terms)
    finally:
        plane.stop()


def measured(plane: ManyCells, drivers: Drivers, accountant: Accountant, terms: Terms) -> Section:
    """All phases."""
    until(lambda: drivers.report()["ready"] >= plane.ordered, "every replica is ready", PATIENCE)
    until(lambda: plane.shown(plane.vehicles), "the API server shows every vehicle and replica", PATIENCE)
    phases: list[Phase] = []
    for carlets in range(1, CARLETS + 1):
        if carlets == 2:
            plane.start_other()
            until(lambda: min(plane.served()) > 0 and sum(plane.served()) == terms.many, "both serve", PATIENCE)
        time.sleep(COALESCED)  # what connecting has left to write is written
        phases.append(phase("rest", carlets, plane, accountant, lambda: time.sleep(terms.rest)))
        phases.append(phase("churn", carlets, plane, accountant, lambda: churn(drivers, terms)))
        settle(plane, drivers)
    takeover = killed(plane, drivers)
    return section(phases, takeover, terms)


def phase(name: str, carlets: int, plane: ManyCells, accountant: Accountant, happen: Callable[[], None]) -> Phase:
    """Count while something happens."""
    with StatusWrites(plane) as wrote:
        before = accountant.read()
        happen()
        after = accountant.read()
    return Phase(name, carlets, spent(before, after), before, after, wrote)


def churn(drivers: Drivers, terms: Terms) -> None:
    """Some announce their departure, some lose their link for a while."""
    moving: dict[str, Any] = {"fraction": MOVING, "over": terms.churn, "for": OUTAGE}
    drivers.tell(do="depart", **moving)
    drivers.tell(do="lose", **moving, jitter=5)
    time.sleep(terms.churn)


def settle(plane: ManyCells, drivers: Drivers) -> None:
    """Wait until the last of the churn is over and everybody is back."""
    time.sleep(OUTAGE)
    drivers.tell(do="arrive")
    until(lambda: drivers.report()["connected"] == plane.vehicles, "all are connected again", PATIENCE)
    until(lambda: plane.shown(plane.vehicles), "all are back", PATIENCE)


def killed(plane: ManyCells, drivers: Drivers) -> dict[str, float]:
    """Kill one of two carlets, give its cells another order, and wait for the other."""
    cells, replicas = plane.cells_of(plane.ports["carlet-kubelet"]), plane.replicas + 1
    some, first = cells[:GIVEN_ANEW], drivers.report()
    due = first["ready"] + len(some) * len(WORKLOADS)
    with Watching(plane) as watched:
        plane.processes.kill("carlet")
        began = time.monotonic()
        plane.order(some, replicas)
        until(lambda: plane.served()[1] == len(plane.cells), "the other serves all cells", PATIENCE)
        served = time.monotonic() - began
        until(lambda: drivers.report()["ready"] >= due, "new orders are met", PATIENCE)
        met = time.monotonic() - began
        until(lambda: plane.met(some, replicas), "cells show that new orders are met", PATIENCE)
        shown = time.monotonic() - began
    return {
        "cells": len(cells), "secondsToServed": served, "secondsToOrdersMet": met, "secondsToShown": shown,
        "nodesLost": len(watched.lost), "podsDeleted": len(watched.deleted),
        "unloads": drivers.report()["unloadsByOrder"] - first["unloadsByOrder"],
    }  # fmt: skip


def section(phases: list[Phase], takeover: Mapping[str, float], terms: Terms) -> Section:
    """The table; a column for each phase."""
    figures: list[dict[str, Any]] = [each.figures(terms.many) for each in phases]
    about = (
        f"{terms.many:,} cells with {terms.cars} driven vehicles each and {len(WORKLOADS)} Pods; stock flags of the "
        "API server, etcd and the controllers, but for fsync. "
        f"At rest {terms.rest:g} s, vehicles beat every {terms.beat:g} s; "
        f"in churn {terms.churn:g} s, {100 * MOVING:.0f} % announce their departure and as many lose their link for "
        f"{OUTAGE:g} s. Counted by the API server and etcd themselves; one watch of cells is ours. "
        f"The cells of the killed carlet show their new orders as met after {takeover['secondsToShown']:.1f} s."
    )
    head = ["", *(f"{each.name}, {each.carlets} carlet{'s' * (each.carlets > 1)}" for each in phases)]
    found = {"cells": terms.many, "vehiclesPerCell": terms.cars, "phases": figures, "takeover": takeover}
    return Section("Many cells", about, head, table(figures), musts(figures, takeover, terms), found)


def table(figures: list[dict[str, Any]]) -> list[list[str]]:
    """The lines of all phases."""
    return [
        row("requests a second", figures, lambda f: f"{f['requestsPerSecond']:.1f}"),
        row("of them GET, LIST, WATCH; POST; PUT; PATCH and APPLY; DELETE", figures, lambda f: by_verb(f["byVerb"])),
        row("writes a second: Leases; Nodes; cells; Pods", figures, lambda f: "; ".join(
            f"{f[f'{name}PerSecond']:.1f}" for name in ("leases", "nodes", "cells", "pods"))),
        row("status writes of a cell in 10 s, mean", figures, lambda f: f"{f['statusWritesOfACell']:.2f}"),
        row("requests that the API server turned away", figures, lambda f: f"{f['rejected']:.0f}"),
        row("kB a second into etcd; out of it", figures,
            lambda f: f"{f['etcdBytesIn'] / 1e3:.0f}; {f['etcdBytesOut'] / 1e3:.0f}"),
        row("kB a second of answers; of events to watchers", figures,
            lambda f: f"{f['answeredBytes'] / 1e3:.0f}; {f['watchedBytes'] / 1e3:.0f}"),
        row("etcd: MB of the database; in use; growth in an hour", figures, lambda f: "; ".join(
            f"{f[name] / 1e6:.0f}" for name in ("databaseBytes", "databaseBytesInUse", "databaseBytesPerHour"))),
        row("cores: API server; etcd; controllers; carlets", figures, lambda f: cores(f["cores"])),
        row("carlets: MB of memory", figures, lambda f: "; ".join(
            f"{bytes_ / 1e6:.0f}" for name, bytes_ in sorted(f["memory"].items()) if name.startswith("carlet"))),
    ]  # fmt: skip


def musts(figures: list[dict[str, Any]], takeover: Mapping[str, float], terms: Terms) -> list[Must]:
    """What must hold in every phase, and after the kill."""

    def worst(name: str) -> float:
        return max(found[name] for found in figures)

    kubelets = terms.many / KUBELET_RENEWAL
    broken = takeover["nodesLost"] + takeover["podsDeleted"] + takeover["unloads"]
    return [
        Must("writes of a cell in 10 s that show vehicles alone, most", worst("supplyWritesOfACell"), 1.0),
        Must("status writes of a cell in 10 s, mean", worst("statusWritesOfACell"), 1.0),
        Must(f"Lease writes a second ({terms.many:,} stock kubelets: {kubelets:g})", worst("leasesPerSecond"),
             1.1 * kubelets + OTHER_LEASES),
        Must("requests that the API server turned away", worst("rejected"), 0),
        Must("MB of etcd's database (its default quota)", worst("databaseBytes") / 1e6, ETCD_QUOTA / 1e6),
        Must("seconds from kill -9 until the other serves all cells", takeover["secondsToServed"], PROMISED),
        Must("seconds from kill -9 until orders given to them then are met", takeover["secondsToOrdersMet"], PROMISED),
        Must("nodes lost, pods deleted, models unloaded by it", broken, 0),
    ]  # fmt: skip


def row(what: str, figures: list[dict[str, Any]], show: Callable[[dict[str, Any]], str]) -> list[str]:
    """A line of the table."""
    return [what, *map(show, figures)]


def by_verb(verbs: Mapping[str, float]) -> str:
    """Rates of kinds of verbs."""
    kinds = (("GET", "LIST", "WATCH"), ("POST",), ("PUT",), ("PATCH", "APPLY"), ("DELETE", "DELETECOLLECTION"))
    return "; ".join(f"{sum(verbs.get(verb, 0.0) for verb in kind):.1f}" for kind in kinds)


def cores(used: Mapping[str, float]) -> str:
    """Of each process; carlets by themselves."""
    names = ["kube-apiserver", "etcd", "kube-controller-manager", *sorted(n for n in used if n.startswith("carlet"))]
    return "; ".join(f"{used.get(name, 0.0):.2f}" for name in names)
