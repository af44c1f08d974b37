"""Cells of a pool that needs fewer, and then more: what runs is not moved."""

import json
from typing import Any

import pytest

from benchmarks.fleet.drivers import Drivers
from fleet.carplane import FLEET, WORKLOAD, until
from fleet.town import Town

CARS = 8
PATIENCE = 120.0
"""Seconds, on a machine that does other things too."""


def here(town: Town) -> dict[str, int]:
    """Cars by cell."""
    return {
        name: cell.get("status", {}).get("vehicles", {}).get("registered", 0)
        for name, cell in town.plane.cells().items()
    }


def resize(town: Town, size: int) -> None:
    pool = json.loads(town.plane.kubectl("get", "vnp", "-o", "json"))["items"][0]["metadata"]["name"]
    patch = {"spec": {"vehicles": CARS, "cell": {"maxVehicles": size}}}
    town.plane.kubectl("patch", "vnp", pool, "--type=merge", "-p", json.dumps(patch))


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_cells_split_and_merge_while_what_runs_stays(town):
    resize(town, 4)
    flags = ("--beat", "1s", "--links", "WiFi=1")
    with Drivers(town.plane, *flags, vehicles=CARS, fleet=FLEET) as driver:
        until("two cells hold all cars", lambda: sorted(here(town).values()) == [4, 4], PATIENCE)
        until("a car serves", lambda: driver.report()["ready"] >= 1, PATIENCE)
        until("another has the file ready", lambda: driver.report()["staged"] >= 1, PATIENCE)
        assert driver.report()["ready"] == 1
        before = driver.report()
        nodes = town.plane.kubectl("get", "nodes", "-o", "name").split()
        assert len(nodes) == 2

        resize(town, 20)
        until(
            "the pool merges into one cell, of those two that has work",
            lambda: list(here(town).values()) == [CARS],
            PATIENCE,
        )
        until(
            "the node of the empty cell goes",
            lambda: len(town.plane.kubectl("get", "nodes", "-o", "name").split()) == 1,
            PATIENCE,
        )
        assert_nothing_moved(driver.report(), before)

        resize(town, 3)
        until("the pool splits into three", lambda: sorted(here(town).values()) == [2, 3, 3], PATIENCE)
        split = driver.report()

        assert_nothing_moved(split, before)
        assert split["ready"] >= before["ready"]
        assert split["connected"] == CARS

        # work in every cell: the one that closes keeps it until its cars leave
        town.plane.kubectl("scale", f"iw/{WORKLOAD}", f"--replicas={CARS - 1}")
        until("all but one car serve", lambda: driver.report()["ready"] == CARS - 1, PATIENCE)
        busy = driver.report()
        assert busy["fetches"] <= busy["ready"] - 1, "who had the file ready fetched nothing for its order"
        resize(town, 20)
        until("a cell closes", lambda: len(closing(town)) == 1, PATIENCE)
        [name] = closing(town)
        until("its idle cars leave it", lambda: idle(town.plane.cells()[name]) == 0, PATIENCE)
        assert here(town)[name] > 0
        assert_nothing_moved(driver.report(), busy)
        assert driver.report()["ready"] == CARS - 1
        driver.tell(do="depart", cells=[name], **{"for": 600})
        until("it goes with its last car", lambda: name not in town.plane.cells(), PATIENCE)
        assert driver.report()["unloadsByOrder"] == busy["unloadsByOrder"]


def assert_nothing_moved(after: dict[str, Any], before: dict[str, Any]) -> None:
    counted = ("unloadsByOrder", "unloadsByContract", "reloads")
    assert {name: after[name] for name in counted} == {name: before[name] for name in counted}


def closing(town: Town) -> list[str]:
    return [name for name, cell in town.plane.cells().items() if cell["spec"].get("closing")]


def idle(cell: dict[str, Any]) -> int:
    status = cell.get("status", {})
    serving: int = sum(row["vehicles"] - row["free"] for row in status.get("supply", []))
    known: int = status.get("vehicles", {}).get("registered", 0)
    return known - serving
