"""What a person does with kubectl to cells and their pods: the real kubectl, operator and carlet, and driven cars."""

import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from benchmarks.fleet.drivers import Drivers
from fleet.carplane import FLEET, SPACE, WORKLOAD, CarPlane, until
from parkade.errors import LocalPlaneError
from parkade.local import binaries

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

CARS, IN_CELL = 8, 4
BEFORE, AFTER = 3, 5
"""Replicas: the first fit into one cell, the others do not."""


class Town(CarPlane):
    """Two cells of driven cars."""

    def replicas(self) -> dict[str, int]:
        """Replicas ordered, by cell that has any."""
        found = {}
        for name, cell in self.cells().items():
            count = sum(row["replicas"] for row in cell["spec"].get("assignments", []))
            if count:
                found[name] = count
        return found

    def pods(self) -> list[str]:
        return self.kubectl("get", "pods", "-n", SPACE, "-o", "name").split()

    def condition(self, cell: str, kind: str) -> tuple[str, str]:
        conditions = self.cells()[cell].get("status", {}).get("conditions", [])
        return next(((c["status"], c["reason"]) for c in conditions if c["type"] == kind), ("", ""))

    def fails(self, *words: str) -> str:
        """What kubectl says when it is refused."""
        with pytest.raises(LocalPlaneError) as refused:
            self.kubectl(*words)
        return str(refused.value)

    def until(self, what: str, holds: Callable[[], object], seconds: float = 180.0) -> None:
        until(what, holds, seconds, lambda: f"{self.replicas()}, {self.pods()}")


@pytest.fixture(scope="module")
def town(tmp_path_factory, repository_root) -> Iterator[Town]:
    town = Town(tmp_path_factory.mktemp("town"))
    try:
        hardware = {"name": "hw4", "memory": "8Gi", "slots": 1}
        town.begin(repository_root, BEFORE, vehicles=CARS, cell={"maxVehicles": IN_CELL}, hardware=hardware)
        flags = ("--beat", "5s", "--links", "WiFi=1")
        with Drivers(town, *flags, vehicles=CARS, fleet=FLEET) as town.drivers:
            town.until("two cells", lambda: len(town.cells()) == CARS // IN_CELL)
            town.until("every car is answered", lambda: town.drivers.report()["answered"] == CARS)
            town.until("the workload is ready", lambda: town.drivers.report()["ready"] >= BEFORE)
            yield town
    finally:
        town.stop()


def holder(town: Town) -> str:
    """The cell with most replicas."""
    replicas = town.replicas()
    return max(replicas, key=lambda cell: replicas[cell])


def test_logs_are_the_workload_s_events_in_the_cell(town):
    pod = f"{WORKLOAD}-{holder(town)}"
    town.until("the pod is ready", lambda: f"pod/{pod}" in town.pods())
    town.kubectl("wait", "--for=condition=Ready", f"pod/{pod}", "--timeout=120s")
    town.until("logs are there", lambda: " Ready " in town.kubectl("logs", pod))
    whole = town.kubectl("logs", pod)
    lines = whole.splitlines()
    assert len(lines) >= BEFORE
    assert town.kubectl("logs", pod, "--tail=1").splitlines() == lines[-1:]
    assert town.kubectl("logs", pod, "--since=1h") == whole
    assert not any(line in town.kubectl("logs", pod, "--since=1s") for line in lines[:1])
    assert FLEET not in whole


def test_logs_are_followed(town):
    pod = f"{WORKLOAD}-{holder(town)}"
    program = binaries.upstream("kubectl", print)
    command = [program, "--kubeconfig", town.kubeconfig, "logs", "-f", "--tail=0", pod]
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True) as following:
        try:
            time.sleep(1.0)  # kubectl does not say when it has begun to follow
            town.drivers.tell(do="depart", fraction=0.5, **{"for": 600})
            line = following.stdout.readline()
            assert "vehicle " in line
            assert following.poll() is None
        finally:
            following.kill()
    town.drivers.tell(do="arrive")
    town.until("the cars are back", lambda: town.drivers.report()["answered"] == CARS)
    town.until("the workload is ready again", lambda: town.drivers.report()["ready"] >= BEFORE)
    town.until("whoever stood in has let go", lambda: town.drivers.report()["replicas"] == BEFORE)


def test_exec_and_its_like_are_answered_by_a_sentence(town):
    pod = f"{WORKLOAD}-{holder(town)}"
    assert "vehicles run no shells" in town.fails("exec", pod, "--", "true")
    assert "vehicles run no shells" in town.fails("attach", pod)


def test_describe_says_who_is_here_and_why(town):
    cell = holder(town)
    node = town.kubectl("describe", "node", cell)
    assert "VehiclesPresent" in node
    assert f"{IN_CELL} of {IN_CELL} vehicles here" in node
    assert "parkade.dev/vehicle:NoExecute" in node
    assert f"{WORKLOAD}-{cell}" in node
    pod = town.kubectl("describe", "pod", f"{WORKLOAD}-{cell}")
    assert f"Node:             {cell}/127.0.0.1" in pod
    assert "InferenceWorkload/sign-reader" in pod


def test_a_cordon_lets_nothing_in_a_drain_moves_all_and_uncordon_ends_both(town):
    cell = holder(town)
    before = town.replicas()
    first = town.drivers.report()
    assert town.condition(cell, "Schedulable") == ("True", "Uncordoned")
    town.kubectl("cordon", cell)
    town.until("the cordon is told", lambda: town.condition(cell, "Schedulable") == ("False", "Cordoned"))
    town.apply(town.workload(AFTER))
    town.until("more replicas are ordered", lambda: sum(town.replicas().values()) == AFTER)
    town.until("they are ready", lambda: town.drivers.report()["ready"] >= AFTER)
    assert town.replicas()[cell] == before[cell]
    assert town.drivers.report()["unloadsByOrder"] == first["unloadsByOrder"]

    town.apply(town.workload(BEFORE))
    town.until("as few as before", lambda: sum(town.replicas().values()) == BEFORE)
    said = town.kubectl("drain", cell, "--timeout=60s")
    assert f"node/{cell} drained" in said
    assert f"pod/{WORKLOAD}-{cell}" not in town.pods()
    town.until("all is elsewhere", lambda: set(town.replicas()) == set(town.cells()) - {cell})
    town.until("the cell says so", lambda: town.condition(cell, "Schedulable") == ("False", "Drained"))
    town.until("its cars let go", lambda: town.drivers.report()["replicas"] == BEFORE)
    assert f"pod/{WORKLOAD}-{cell}" not in town.pods()

    town.kubectl("uncordon", cell)
    town.until("that is told", lambda: town.condition(cell, "Schedulable") == ("True", "Uncordoned"))
    town.apply(town.workload(AFTER))
    town.until("it is used again", lambda: town.replicas().get(cell))
    town.until("and shows it", lambda: f"pod/{WORKLOAD}-{cell}" in town.pods())
