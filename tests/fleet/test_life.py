"""A car's life in a fleet, with every real process: enrolled, renewed, asleep too long, revoked, forgotten."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import httpx
import numpy as np
import pytest
import yaml

from parkade.local.plane import Plane
from parkade.local.processes import LaunchSpec
from vehicle.peers import affine, digest_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(480)]

FLEET = "owners-ca"
WORKLOAD = "sign-reader"
REAL_IDS = {"car-a": "5YJ3E1EA7KF317001", "car-b": "5YJ3E1EA7KF317002"}
LIFE = "15s"
LIFE_SECONDS = 15.0


class Town:
    """A plane with two cars and one workload that only cars may serve."""

    def __init__(self, directory: Path) -> None:
        self.plane = Plane(directory, say=print)
        self.plane.credentials_life = LIFE
        self.names: dict[str, str] = {}
        self.pids: dict[str, int] = {}

    def start(self, root: Path) -> None:
        plane = self.plane
        plane.build()
        plane.start_control_plane()
        plane.install()
        plane.start_link()
        plane.start_parkade()
        model = plane.data / "sign-reader.onnx"
        model.write_bytes(affine())
        pool = yaml.safe_load((root / "examples" / "vehiclenodepool.yaml").read_text())
        del pool["spec"]["contract"]["quietHours"]
        pool["spec"] |= {"match": {"fleet": FLEET, "hardware": "hw4"}, "vehicles": 2, "cell": {"maxVehicles": 10}}
        workload = yaml.safe_load((root / "examples" / "workload.yaml").read_text())
        workload["metadata"] = {"name": WORKLOAD, "namespace": "default"}
        artifact = {"hardware": ["*"], "format": "onnx", "source": model.as_uri(), "sha256": digest_of(affine())}
        workload["spec"]["model"]["artifacts"] = [artifact]
        workload["spec"]["demand"] = [{"region": "us-ca", "rate": "1"}]
        workload["spec"]["trust"] = {"fleets": [FLEET]}
        workload["spec"]["placement"] = {"tiers": ["Vehicle"], "minReplicas": 1}
        plane.kubectl("apply", "-f", str(root / "examples" / "regions.yaml"))
        objects = {"apiVersion": "v1", "kind": "List", "items": [pool, workload]}
        plane.kubectl("apply", "-f", "-", stdin=json.dumps(objects))

    def state(self, car: str) -> Path:
        return self.plane.data / "vehicles" / car

    def enrol(self, car: str) -> str:
        self.state(car).mkdir(parents=True, exist_ok=True)
        self.names[car] = self.plane.enroll(FLEET, REAL_IDS[car], self.state(car))
        return self.names[car]

    def drive_and_enrol(self, car: str) -> None:
        """Start an agent that enrols itself, as an installer would leave it."""
        state = self.state(car)
        state.mkdir(parents=True, exist_ok=True)
        secrets = {"token-file": self.fleet("token", "--ttl", "10m"), "real-id-file": REAL_IDS[car]}
        files = {name: state / name for name in secrets}
        for name, file in files.items():
            file.write_text(secrets[name])
        self.drive(car, **{"enroll-at": self.plane.carlet_url, "fleet": FLEET}, **files)
        until("it has enrolled itself", (state / "enrolment.json").exists)
        for file in files.values():
            file.unlink()
        self.names[car] = self.enrolment(car)["vehicle"]

    def drive(self, car: str, **more: object) -> None:
        signals = self.state(car) / "signals.jsonl"
        signals.write_text('{"t": 0, "pluggedIn": true, "soc": 80, "state": "Charging", "link": "WiFi"}\n')
        flags = {
            "hardware": "hw4", "nats": self.plane.nats_url, "ca": self.plane.authority.certificate,
            "state-dir": self.state(car), "signals": signals, "beat": "1s", **more,
        }  # fmt: skip
        arguments = [f"--{name}={value}" for name, value in flags.items()]
        self.pids[car] = self.plane.processes.start(
            car, LaunchSpec((sys.executable, "-m", "parkade", "vehicle", "run", *arguments))
        )

    def status(self, car: str) -> dict:
        command = [sys.executable, "-m", "parkade", "vehicle", "status", "-o", "json"]
        done = subprocess.run(
            [*command, "--state-dir", str(self.state(car))], capture_output=True, text=True, check=False
        )
        found: dict = json.loads(done.stdout) if done.returncode == 0 else {}
        return found

    def connected(self, car: str) -> bool:
        return bool(self.status(car).get("fleetLink", {}).get("connected"))

    def holds(self, car: str) -> bool:
        return any(row["phase"] == "Ready" for row in self.status(car).get("assignments", []))

    def enrolment(self, car: str) -> dict:
        found: dict = json.loads((self.state(car) / "enrolment.json").read_text())
        return found

    def fleet(self, *words: str, stdin: str = "") -> str:
        command = [sys.executable, "-m", "parkade", "fleet", *words]
        command += ["--dir", str(self.plane.directory), "--fleet", FLEET]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def seen(self) -> dict[str, str]:
        """Everything that people can see of a fleet: objects and logs of the cluster, files of logs, metrics."""
        plane = self.plane
        listed = plane.kubectl("api-resources", "--verbs=list", "-o", "name").split()
        kinds = ",".join(kind for kind in listed if kind != "componentstatuses")
        seen = {"objects": plane.kubectl("get", kinds, "-A", "-o", "yaml", "--show-managed-fields")}
        pods = json.loads(plane.kubectl("get", "pods", "-o", "json"))["items"]
        for pod in pods:
            seen[f"kubectl logs {pod['metadata']['name']}"] = plane.kubectl("logs", pod["metadata"]["name"])
        assert pods
        for path in sorted((plane.directory / "logs").iterdir()):
            seen[f"log {path.name}"] = path.read_text(errors="replace")
        with httpx.Client(trust_env=False) as http:
            for name in ("carlet-metrics", "router-metrics", "operator-metrics"):
                answer = http.get(f"http://127.0.0.1:{plane.ports[name]}/metrics")
                assert "parkade_" in answer.text
                seen[name] = answer.text
        return seen


def until(what: str, holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)


class Caller(threading.Thread):
    """Asks the router again and again, and remembers what was not answered."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.answered = 0
        self.failed: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        row = np.ones(3, dtype=np.float32).tolist()
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": row}]}
        with httpx.Client(trust_env=False, timeout=20.0) as http:
            while not self.stopping.wait(0.05):
                answer = http.post(f"{self.url}/v2/models/{WORKLOAD}/infer", json=body)
                if answer.status_code == httpx.codes.OK:
                    self.answered += 1
                else:
                    self.failed.append(answer.text)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.join()


@pytest.fixture(scope="module")
def town(tmp_path_factory, repository_root) -> Iterator[Town]:
    town = Town(tmp_path_factory.mktemp("town"))
    try:
        town.start(repository_root)
        yield town
    finally:
        town.plane.stop()


def found_in(places: dict[str, str], words: list[str]) -> list[str]:
    """Where a word stands, with the line, so that a failure says what leaks."""
    return [
        f"{place}: {line[:300]}"
        for place, text in places.items()
        for line in text.splitlines()
        if any(word in line for word in words)
    ]


def files_with(directory: Path, word: str) -> list[str]:
    found = []
    for path in directory.rglob("*"):
        try:
            if path.is_file() and (word.encode() in path.read_bytes() or word in path.name):
                found.append(str(path))
        except FileNotFoundError:
            continue  # the server has just replaced it
    return found


def test_a_car_lives_in_its_fleet_and_leaves_no_name_anywhere(town):
    plane = town.plane
    town.enrol("car-a")
    town.drive("car-a")
    town.drive_and_enrol("car-b")
    until("both cars are connected", lambda: all(town.connected(car) for car in REAL_IDS))
    until("a car holds the model", lambda: any(town.holds(car) for car in REAL_IDS))
    holder = next(car for car in REAL_IDS if town.holds(car))
    other = next(car for car in REAL_IDS if car != holder)
    url = f"http://127.0.0.1:{plane.ports['router-http']}"
    until("requests are answered", lambda: httpx.get(f"{url}/v2/models/{WORKLOAD}/ready", trust_env=False).is_success)

    # renewed over the link, and nothing that runs notices
    before, fetched = town.enrolment(holder)["expires"], town.status(holder)["used"]["bytesDownloaded"]
    with Caller(url) as caller:
        until("credentials are renewed twice", lambda: town.enrolment(holder)["expires"] > before + LIFE_SECONDS)
        until("the link is back", lambda: town.connected(holder))
    assert caller.answered > 20
    assert caller.failed == []
    assert town.holds(holder)
    assert town.status(holder)["used"]["bytesDownloaded"] == fetched
    with httpx.Client(trust_env=False) as http:
        metrics = http.get(f"http://127.0.0.1:{plane.ports['carlet-metrics']}/metrics").text
    assert 'parkade_fleet_credentials_total{reason="",way="link"}' in metrics

    # asleep past the end of its credentials
    process = town.pids[other]
    os.kill(process, signal.SIGSTOP)
    try:
        time.sleep(max(0.0, town.enrolment(other)["expires"] - time.time()) + 1.0)
    finally:
        os.kill(process, signal.SIGCONT)
    until("it is back by its key", lambda: "by its key" in plane.processes.log_tail(other) and town.connected(other))

    # revoked
    town.fleet("revoke", "--vehicle", town.names[holder])
    until("its replica went to the other car", lambda: town.holds(other), 20)
    until("its link is closed", lambda: not town.connected(holder))
    until("its fleet says why", lambda: "revoked" in plane.processes.log_tail(holder))
    until("requests are answered", lambda: httpx.get(f"{url}/v2/models/{WORKLOAD}/ready", trust_env=False).is_success)

    # nothing personal anywhere
    personal = [*REAL_IDS.values(), *town.names.values()]
    assert found_in(town.seen(), personal) == []
    assert [name for real in REAL_IDS.values() for name in files_with(plane.directory, real)] == []

    # forgotten
    town.fleet("forget", "-", stdin=REAL_IDS[holder])
    plane.processes.stop(holder)
    forgotten = town.names[holder]
    assert found_in(town.seen(), [forgotten]) == []
    left = [name for name in files_with(plane.directory, forgotten) if not name.startswith(str(town.state(holder)))]
    assert left == []
    (town.state(holder) / "enrolment.json").unlink()
    assert town.enrol(holder) != forgotten
