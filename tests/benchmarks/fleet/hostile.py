"""Hostile Kubernetes: what may happen to Nodes, Pods, watches and carlet without a vehicle hearing of it."""

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx
import yaml

from benchmarks.fleet.cutting import CuttingRelay
from benchmarks.fleet.drivers import Drivers
from benchmarks.fleet.manifests import NAMESPACE
from benchmarks.fleet.parts import Terms
from benchmarks.fleet.places import POD_MAKERS, FleetPlane, until
from benchmarks.router.table import Must, Section
from parkade.local.processes import LaunchSpec

PROMISED = 30.0
"""Seconds within which deleted Nodes are back."""
PATIENCE = 1200.0


@dataclass(frozen=True)
class Siege:
    """Sizes, and seconds of each misfortune."""

    cells: int
    pods: int
    """Of each cell."""
    cars: int
    """Of each cell."""
    down: float
    """Carlet killed."""
    cut: float
    """Carlet's connections cut once a second."""
    silent: float
    """Carlet's connections half-open; and carlet stopped."""
    added: int
    """Cells that each misfortune brings."""
    beat: float = 60.0


FULL = Siege(cells=200, pods=20, cars=10, down=600.0, cut=30.0, silent=60.0, added=5)
SMALL = Siege(cells=20, pods=5, cars=5, down=5.0, cut=4.0, silent=3.0, added=2, beat=4.0)
SMALL_FLEET = 2_000
"""Vehicles of a benchmark that is only to be seen to work."""


class BesiegedPlane(FleetPlane):
    """Carlet reaches the API server through a relay that can be cut."""

    def __init__(self, directory: Path, siege: Siege) -> None:
        names = tuple(f"reader-{number}" for number in range(siege.pods))
        super().__init__(directory, siege.cells * siege.cars, 1, siege.cars, names)
        self.relay = CuttingRelay(self.ports["apiserver"])
        self.born = siege.cells

    def _carlet(self) -> LaunchSpec:
        config = yaml.safe_load(self.kubeconfig.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self.relay.port}"
        relayed = self.data / "carlet.kubeconfig"
        relayed.touch(mode=0o600)
        relayed.write_text(yaml.safe_dump(config))
        spec = super()._carlet()
        flags = [f"--kubeconfig={relayed}" if word.startswith("--kubeconfig=") else word for word in spec.argv]
        return LaunchSpec(tuple(flags), spec.env)

    def strike(self, added: int) -> set[str]:
        """Delete every Node and Pod, and add cells; returns the unique ids of the Nodes that were."""
        before = set(self.nodes())
        self.delete_all("/api/v1/nodes")
        self.delete_all(f"/api/v1/namespaces/{NAMESPACE}/pods")
        cells = [self.cell(shard) for shard in range(self.born, self.born + added)]
        self.born += added
        listed = {"apiVersion": "v1", "kind": "List", "items": cells}
        self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(listed))
        return before

    def delete_all(self, path: str) -> None:
        """Delete each object of a collection; all in one request would be cut off after a minute."""
        names = [item["metadata"]["name"] for item in self.api.get(path).raise_for_status().json()["items"]]
        with ThreadPoolExecutor(POD_MAKERS) as deleting:
            for answer in deleting.map(lambda name: self.api.delete(f"{path}/{name}"), names):
                if answer.status_code != httpx.codes.NOT_FOUND:
                    answer.raise_for_status()

    def nodes(self) -> dict[str, tuple[str, bool]]:
        """Unique id of each Node to its name and whether it is Ready."""
        items = self.api.get("/api/v1/nodes").raise_for_status().json()["items"]
        return {
            node["metadata"]["uid"]: (
                node["metadata"]["name"],
                any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"]),
            )
            for node in items
        }

    def nodes_back(self, before: set[str]) -> bool:
        """Whether every cell, those added too, has a Ready Node that is none of those before."""
        ready = {name for uid, (name, is_ready) in self.nodes().items() if is_ready and uid not in before}
        return len(ready) == self.born

    def pods_back(self) -> bool:
        """Whether every Pod is there and has been Ready; its phase does not go back."""
        query = {"fieldSelector": "status.phase!=Running", "limit": "1"}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods"
        if self.api.get(path, params=query).raise_for_status().json()["items"]:
            return False
        listed = self.api.get(path, params={"limit": "1"}).raise_for_status().json()
        there = len(listed["items"]) + listed["metadata"].get("remainingItemCount", 0)
        return bool(there == len(self.cells) * len(self.workloads))


@dataclass
class Misfortune:
    """One thing that happened, and what came of it."""

    what: str
    nodes: float
    """Seconds until every Node was back and Ready."""
    pods: float
    """Seconds until every Pod was."""
    heard: dict[str, int]
    """What vehicles counted meanwhile."""


HEARD = ("unloadsByOrder", "unloadsByContract", "loads", "reloads")


class Besieger:
    """Lets one misfortune after the other happen and waits until all is back."""

    def __init__(self, plane: BesiegedPlane, drivers: Drivers, siege: Siege) -> None:
        self.plane, self.drivers, self.siege = plane, drivers, siege
        self.met: list[Misfortune] = []

    def suffer(self, what: str, happen: Callable[[], set[str]], then: Callable[[], None] = lambda: None) -> None:
        """`happen` returns the Nodes that were; the clock runs from its end. `then` ends what still goes on."""
        plane, first = self.plane, self.drivers.report()
        before = happen()
        began = time.monotonic()
        until(lambda: plane.nodes_back(before), f"{what}: nodes are back", PATIENCE)
        nodes = time.monotonic() - began
        then()
        plane.make_pods()
        until(plane.pods_back, f"{what}: pods are back", PATIENCE)
        pods = time.monotonic() - began
        until(self.settled, f"{what}: every vehicle is answered and every replica ready", PATIENCE)
        last = self.drivers.report()
        self.met.append(Misfortune(what, nodes, pods, {name: last[name] - first[name] for name in HEARD}))
        plane.say(f"{what}: nodes {nodes:.1f} s, pods {pods:.1f} s, vehicles {self.met[-1].heard}")

    def settled(self) -> bool:
        """Whether nothing is under way."""
        report, vehicles = self.drivers.report(), self.plane.vehicles
        return (
            report["connected"] == vehicles == report["answered"] == self.plane.present("Here")
            and report["ready"] == report["replicas"] == self.plane.ordered
        )

    def killed(self) -> set[str]:
        """Carlet is dead for long; Kubernetes' controllers have their way with what it showed."""
        plane = self.plane
        plane.processes.kill("carlet")
        died = time.monotonic()
        before = plane.strike(self.siege.added)
        plane.make_pods()
        time.sleep(max(0.0, self.siege.down - (time.monotonic() - died)))
        plane.pids["carlet"] = plane.processes.restart("carlet")
        return before

    def deleted(self) -> set[str]:
        """All Nodes and Pods, with carlet looking on."""
        return self.plane.strike(self.siege.added)

    def cut(self) -> set[str]:
        """Connections are cut each second, until the Nodes are back and for `cut` seconds at least."""
        self.plane.relay.cut_every(1.0)
        time.sleep(self.siege.cut / 2)
        return self.plane.strike(self.siege.added)

    def uncut(self) -> None:
        """End `cut`."""
        time.sleep(self.siege.cut / 2)
        self.plane.relay.cut_every(None)

    def silent(self) -> set[str]:
        """Connections stand, and nothing passes."""
        self.plane.relay.pass_on(passing=False)
        before = self.plane.strike(self.siege.added)
        time.sleep(self.siege.silent)
        self.plane.relay.pass_on(passing=True)
        return before

    def restarted(self) -> set[str]:
        """The API server is killed; all is deleted as soon as it is back."""
        self._restart_api_server()
        return self.plane.strike(self.siege.added)

    def stopped(self) -> set[str]:
        """Carlet is stopped as it is, and wakes up in another world."""
        os.kill(self.plane.pids["carlet"], signal.SIGSTOP)
        try:
            before = self.plane.strike(self.siege.added)
            self._restart_api_server()
            self.plane.make_pods()
            time.sleep(self.siege.silent)
        finally:
            os.kill(self.plane.pids["carlet"], signal.SIGCONT)
        return before

    def link_killed(self) -> set[str]:
        """The fleet link is killed; vehicles and carlet dial again."""
        plane = self.plane
        before = plane.strike(self.siege.added)
        plane.processes.kill("nats-0")
        plane.pids["nats-0"] = plane.processes.restart("nats-0")
        return before

    def link_stopped(self) -> set[str]:
        """The fleet link stands and passes nothing."""
        os.kill(self.plane.pids["nats-0"], signal.SIGSTOP)
        try:
            before = self.plane.strike(self.siege.added)
            time.sleep(self.siege.silent)
        finally:
            os.kill(self.plane.pids["nats-0"], signal.SIGCONT)
        return before

    def _restart_api_server(self) -> None:
        plane = self.plane
        plane.processes.kill("kube-apiserver")
        plane.processes.restart("kube-apiserver")
        plane.await_url("kube-apiserver", f"{plane.control.server}/readyz", plane.admin)


def hostile(folder: Path, terms: Terms) -> Section:
    """Everything that Kubernetes, its users and its network can do to the fleet's face, one after the other."""
    siege = SMALL if terms.vehicles <= SMALL_FLEET else FULL
    plane = BesiegedPlane(folder, siege)
    plane.say = click.echo
    plane.build()
    try:
        plane.start()
        with Drivers(plane, "--beat", f"{siege.beat:g}s", vehicles=plane.vehicles) as drivers:
            besieger = Besieger(plane, drivers, siege)
            until(besieger.settled, "every vehicle is answered and every replica ready", PATIENCE)
            until(plane.pods_back, "every pod is ready", PATIENCE)
            besieger.suffer(f"carlet killed for {siege.down:g} s", besieger.killed)
            besieger.suffer("carlet runs", besieger.deleted)
            besieger.suffer("carlet's connections cut each second", besieger.cut, besieger.uncut)
            besieger.suffer(f"carlet's connections half-open for {siege.silent:g} s", besieger.silent)
            besieger.suffer("API server killed", besieger.restarted)
            besieger.suffer(f"carlet stopped for {siege.silent:g} s, API server killed", besieger.stopped)
            besieger.suffer("NATS killed", besieger.link_killed)
            besieger.suffer(f"NATS stopped for {siege.silent:g} s", besieger.link_stopped)
        return section(plane, siege, besieger.met)
    finally:
        plane.relay.close()
        plane.stop()


def section(plane: FleetPlane, siege: Siege, met: list[Misfortune]) -> Section:
    """The table."""
    heard = {name: sum(each.heard[name] for each in met) for name in HEARD}
    figures: dict[str, Any] = {
        "cells": siege.cells, "pods": siege.cells * siege.pods, "vehicles": plane.vehicles, "heard": heard,
        "misfortunes": [vars(each) for each in met],
    }  # fmt: skip
    rows = [(each.what, f"{each.nodes:.1f}", f"{each.pods:.1f}", str(each.heard["unloadsByOrder"])) for each in met]
    musts = [
        Must("unloads by order", heard["unloadsByOrder"], 0),
        Must(
            "models loaded, loaded again or let go", heard["loads"] + heard["reloads"] + heard["unloadsByContract"], 0
        ),
        Must("seconds until all Nodes are back", max(each.nodes for each in met), PROMISED),
    ]
    about = (
        f"{siege.cells} cells of {siege.cars} vehicles with {siege.pods} Pods each. Each time all Nodes and Pods are "
        f"deleted and {siege.added} cells added; Pods are made again as the operator does. Seconds count from the "
        "deletion, or from the end of what is said to last."
    )
    head = ("meanwhile", "seconds to all Nodes Ready", "to all Pods Ready", "unloads by order")
    return Section("Hostile Kubernetes", about, head, rows, musts, figures)
