"""A plane with two cars whose agents are real processes, and what people can see of them."""

import json
import subprocess
import sys
from pathlib import Path

import httpx

from fleet.carplane import FLEET, CarPlane, until
from parkade.local.processes import LaunchSpec

REAL_IDS = {"car-a": "5YJ3E1EA7KF317001", "car-b": "5YJ3E1EA7KF317002"}
LIFE = "15s"
LIFE_SECONDS = 15.0


class Town:
    """A plane with two cars and one workload that only cars may serve."""

    def __init__(self, directory: Path, life: str = LIFE) -> None:
        self.plane = CarPlane(directory, say=print)
        self.plane.credentials_life = life
        self.real_ids = dict(REAL_IDS)
        self.names: dict[str, str] = {}
        self.pids: dict[str, int] = {}

    def start(self, root: Path) -> None:
        self.plane.begin(root, vehicles=2, cell={"maxVehicles": 10})

    def state(self, car: str) -> Path:
        return self.plane.data / "vehicles" / car

    def enrol(self, car: str) -> str:
        self.state(car).mkdir(parents=True, exist_ok=True)
        self.names[car] = self.plane.enroll(FLEET, self.real_ids[car], self.state(car))
        return self.names[car]

    def drive_and_enrol(self, car: str) -> None:
        """Start an agent that enrols itself, as an installer would leave it."""
        state = self.state(car)
        state.mkdir(parents=True, exist_ok=True)
        secrets = {"token-file": self.fleet("token", "--ttl", "10m"), "real-id-file": self.real_ids[car]}
        files = {name: state / name for name in secrets}
        for name, file in files.items():
            file.write_text(secrets[name])
        self.drive(car, **{"enroll-at": self.plane.carlet_url, "fleet": FLEET}, **files)
        until("it has enrolled itself", (state / "enrolment.json").exists)
        for file in files.values():
            file.unlink()
        self.names[car] = self.enrolment(car)["vehicle"]

    def drive(self, car: str, link: str = "WiFi", **more: object) -> None:
        signals = self.state(car) / "signals.jsonl"
        parked = {"t": 0, "pluggedIn": True, "soc": 80, "state": "Charging", "link": link}
        signals.write_text(json.dumps(parked) + "\n")
        flags = {
            "hardware": "hw4", "nats": self.plane.nats_url, "ca": self.plane.authority.certificate,
            "state-dir": self.state(car), "signals": signals, "beat": "1s", **more,
        }  # fmt: skip
        arguments = [f"--{name}={value}" for name, value in flags.items()]
        self.pids[car] = self.plane.processes.start(
            car, LaunchSpec((sys.executable, "-m", "parkade", "vehicle", "run", *arguments))
        )

    def status(self, car: str) -> dict:
        done = self.owner("status", car, "-o", "json")
        found: dict = json.loads(done.stdout) if done.returncode == 0 else {}
        return found

    def owner(self, word: str, car: str, *more: str) -> "subprocess.CompletedProcess[str]":
        """What the owner of a car says to its agent."""
        command = [sys.executable, "-m", "parkade", "vehicle", word, "--state-dir", str(self.state(car)), *more]
        return subprocess.run(command, capture_output=True, text=True, check=False)

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
