"""A whole Parkade on one machine: control plane, two Triton servers and parked cars; for the demo and the scenarios."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import httpx
import yaml

from demo.client import Load
from demo.inputs import Sample
from parkade.local import ports, triton
from parkade.local.plane import Plane
from parkade.local.processes import LaunchSpec

TRITON_SERVERS: Final = 2
BEAT: Final = "5s"
"""Short, so that a person sees presence change; the default of 60 s is for fleets."""


@dataclass(frozen=True, slots=True)
class Car:
    """One simulated parked car: a real agent process with its own credentials and signals."""

    id: str
    fleet: str
    hardware: str
    link: str
    state_of_charge: int = 80
    charging: bool = True


class World:
    """Starts the parts in order, and knows how to hurt each of them."""

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self.plane = Plane(directory, say)
        self.say = say
        self.repository = self.plane.data / "triton-models"
        self.cars: dict[str, Car] = {}

    def start(self) -> None:
        """Control plane, fleet link, Parkade and the Triton servers; returns when all are ready."""
        self.plane.build()
        if "TRITON_BIN" not in os.environ:
            triton.install(self.say)
        self.plane.start_control_plane()
        self.plane.install()
        self.plane.start_link()
        for index in range(TRITON_SERVERS):
            self.start_triton(index)
        self.plane.start_parkade()
        for index in range(TRITON_SERVERS):
            self.plane.await_url(f"triton-{index}", triton.ready_url(self.triton_ports[index]))

    @cached_property
    def triton_ports(self) -> list[triton.Ports]:
        """Where the Triton servers listen."""
        names = [f"triton-{index}-{port}" for index in range(TRITON_SERVERS) for port in triton.Ports._fields]
        kept = ports.keep(self.plane.directory / "triton-ports.json", names, running=self.plane.running())
        numbers = [kept[name] for name in names]
        return [triton.Ports(*numbers[start : start + 3]) for start in range(0, len(numbers), 3)]

    def start_triton(self, index: int) -> None:
        """Start one Triton server with explicit model control on the shared repository."""
        spec = triton.command(self.triton_ports[index], self.repository, self.say)
        self.plane.ensure(f"triton-{index}", spec)

    def start_car(self, car: Car, agent: str = "parkade") -> None:
        """Enroll a car and start its agent, a program that takes the words of `parkade vehicle run`."""
        state = self.state_directory(car.id)
        state.mkdir(parents=True, exist_ok=True)
        if not (state / "enrolment.json").exists():
            self.plane.enroll(car.fleet, car.id, state)
        signals = state / "signals.jsonl"
        counterfactual = "Charging" if car.charging else "Asleep"
        signals.write_text(
            json.dumps(
                {"t": 0, "pluggedIn": True, "soc": car.state_of_charge, "state": counterfactual, "link": car.link}
            )
            + "\n"
        )
        flags = {
            "hardware": car.hardware, "link": car.link,
            "nats": self.plane.nats_url, "ca": self.plane.authority.certificate,
            "state-dir": state, "signals": signals, "beat": BEAT,
        }  # fmt: skip
        arguments = [f"--{name}={value}" for name, value in flags.items()]
        self.plane.ensure(car.id, LaunchSpec((sys.executable, "-m", agent, "vehicle", "run", *arguments)))
        self.cars[car.id] = car

    def tamper(self, car: str) -> None:
        """Start a car's agent again as one that lies; it goes on with what it held, and has said no goodbye."""
        self.plane.processes.stop(car)
        self.start_car(self.cars[car], agent="demo.liar")

    def state_directory(self, car: str) -> Path:
        """Where an agent keeps its models and its local API's token."""
        return self.plane.data / "vehicles" / car

    def vehicle(self, car: str, command: str) -> str:
        """Do as the owner would: `parkade vehicle unplug|plug|pause|resume|status` on one car."""
        arguments = [sys.executable, "-m", "parkade", "vehicle", command, "--state-dir", str(self.state_directory(car))]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"parkade vehicle {command} on {car}: {done.stderr.strip()}")
        return done.stdout

    def render(self, manifests: Path, values: Mapping[str, str]) -> Path:
        """Fill the placeholders of a directory of manifests; the result is what kubectl applies."""
        rendered = self.manifests
        shutil.rmtree(rendered, ignore_errors=True)
        rendered.mkdir()
        for source in sorted(manifests.glob("*.yaml")):
            text = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], source.read_text())
            (rendered / source.name).write_text(text)
        return rendered

    @property
    def manifests(self) -> Path:
        """Where `render` puts the manifests."""
        return self.plane.data / "manifests"

    def triton_values(self) -> dict[str, str]:
        """Addresses and repository of the Triton servers, as the manifests' placeholders."""
        values = {"TRITON_REPOSITORY": self.repository.as_uri()}
        for index, listens in enumerate(self.triton_ports):
            values[f"TRITON_{index}_HTTP"] = f"127.0.0.1:{listens.http}"
            values[f"TRITON_{index}_GRPC"] = f"127.0.0.1:{listens.grpc}"
        return values

    @property
    def access_log(self) -> Path:
        """Where the router writes one JSON line a request."""
        return self.plane.directory / "logs" / "access.log"

    def apply(self, manifests: Path) -> None:
        """`kubectl apply` a directory, and the namespaces it speaks of first."""
        named = {document["metadata"].get("namespace") for document in _documents(manifests)}
        for namespace in sorted(named - {None}):
            manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            self.plane.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        self.plane.kubectl("apply", "-f", str(manifests))

    def await_ready(self, workloads: Iterable[str], seconds: float = 60.0) -> None:
        """`kubectl wait` until each workload is Placed and Ready."""
        for workload in workloads:
            namespace, name = workload.split("/")
            for condition in ("Placed", "Ready"):
                self.plane.kubectl(
                    "wait", f"iw/{name}", "-n", namespace, f"--for=condition={condition}", f"--timeout={seconds:g}s"
                )

    def workloads(self, keys: Iterable[str]) -> list[dict]:
        """The workload objects, status included."""
        return [self.json("iw", key.split("/")[1], "-n", key.split("/")[0]) for key in keys]

    def loads(
        self,
        questions: Mapping[str, Sequence[Sample]],
        rates: Mapping[str, float],
        per_workload: int | None = None,
        seconds: float = 20.0,
    ) -> list[Load]:
        """Traffic to each workload at its rate through its own `status.url`."""
        loads = []
        for workload in self.workloads(rates):
            status, name = workload["status"], workload["metadata"]["name"]
            rate = rates[f"{workload['metadata']['namespace']}/{name}"]
            count = per_workload or round(rate * seconds)
            model = status["modelName"]
            loads.append(Load(model, status["url"], status["grpcUrl"], questions[name], count, rate))
        return loads

    def json(self, *arguments: str) -> dict:
        """What `kubectl get ... -o json` says."""
        answer: dict = json.loads(self.plane.kubectl("get", *arguments, "-o", "json"))
        return answer

    def placements(self, workload: str) -> list[dict]:
        """`status.placements` of a workload named `namespace/name`."""
        namespace, name = workload.split("/")
        placements: list[dict] = self.json("iw", name, "-n", namespace).get("status", {}).get("placements", [])
        return placements

    def await_that(self, what: str, holds: Callable[[], bool], seconds: float = 30.0) -> float:
        """Wait for a condition; return how long it took, or fail with what was awaited."""
        started = time.monotonic()
        while not holds():
            if time.monotonic() - started > seconds:
                raise TimeoutError(f"not within {seconds:g} s: {what}")
            time.sleep(0.1)
        return time.monotonic() - started

    def places(self, workload: str) -> dict[str, int]:
        """Replicas by place, as the routers see them."""
        return {place["place"]: place["replicas"] for place in self.placements(workload)}

    def conditions(self, workload: str) -> dict[str, dict]:
        """Conditions of a workload by type."""
        namespace, name = workload.split("/")
        status = self.json("iw", name, "-n", namespace).get("status", {})
        return {condition["type"]: condition for condition in status.get("conditions", [])}

    def complaint(self, workload: str, condition: str) -> str:
        """Reason and sentence of a condition that is not True; empty while it is True or not there."""
        shown = self.conditions(workload).get(condition, {"status": "True"})
        return "" if shown["status"] == "True" else f"{shown['reason']}: {shown['message']}"

    def all_ready(self, workloads: Iterable[str]) -> bool:
        """Tell whether each workload is Placed and Ready."""
        return all(
            self.conditions(key).get(condition, {}).get("status") == "True"
            for key in workloads
            for condition in ("Placed", "Ready")
        )

    def pool_says(self) -> str:
        """Reason and sentence of the Triton pool's condition Ready."""
        (pool,) = self.json("tp")["items"]
        conditions = pool.get("status", {}).get("conditions", [])
        return "".join(f"{each['reason']}: {each['message']}" for each in conditions if each["type"] == "Ready")

    def models_on_triton(self) -> dict[int, list[str]]:
        """Names of the models that each Triton server calls ready."""
        held = {}
        for index, listens in enumerate(self.triton_ports):
            try:
                answer = httpx.post(f"http://127.0.0.1:{listens.http}/v2/repository/index", timeout=2).json()
            except httpx.TransportError:
                answer = []
            held[index] = sorted(model["name"] for model in answer if model.get("state") == "READY")
        return held

    def desired_revisions(self) -> dict[str, str]:
        """The revision of the desired set that each car holds."""
        return {car: self.told(car)["revision"] for car in self.cars}

    def told(self, car: str) -> dict:
        """The last desired set that a car was told, as it keeps it."""
        desired: dict = json.loads((self.state_directory(car) / "desired.json").read_text())
        return desired

    def holders(self, workload: str) -> list[str]:
        """Cars that are told to hold a workload's model."""
        return [
            car
            for car in self.cars
            if any(assignment["workload"] == workload for assignment in self.told(car)["assignments"])
        ]

    def serves(self, car: str, workload: str) -> bool:
        """Tell whether a car says itself that it answers for a workload."""
        state = self.state_directory(car)
        place, token = json.loads((state / "api.json").read_text())["api"], (state / "token").read_text().strip()
        try:
            answer = httpx.get(f"http://{place}/v1/status", headers={"authorization": f"Bearer {token}"}, timeout=5)
        except httpx.TransportError:
            return False
        rows = answer.json()["assignments"]
        return any((row["workload"], row["phase"]) == (workload, "Ready") for row in rows)

    def presence(self, cell: str) -> str:
        """The sentence of a cell's condition VehiclesPresent."""
        conditions = self.json("vc", cell).get("status", {}).get("conditions", [])
        return "".join(each["message"] for each in conditions if each["type"] == "VehiclesPresent")

    def warnings(self, workload: str, reason: str) -> list[str]:
        """What the warnings about a workload with one reason say."""
        namespace, name = workload.split("/")
        return [
            event["message"]
            for event in self.json("events", "-n", namespace)["items"]
            if (event["reason"], event["involvedObject"]["name"]) == (reason, name)
        ]

    def faces(self, kind: str) -> list[str]:
        """Names of the fleet's nodes or pods, `kind/name`, by namespace."""
        return self.plane.kubectl("get", kind, "-A", "-l", "parkade.dev/cell", "-o", "name").split()

    def faces_ready(self) -> bool:
        """Tell whether every node and every pod of the fleet is Ready."""
        objects = [*self.json("nodes")["items"], *self.json("pods", "-A", "-l", "parkade.dev/cell")["items"]]
        return all(
            any(c["type"] == "Ready" and c["status"] == "True" for c in item.get("status", {}).get("conditions", []))
            for item in objects
        )

    def leftovers(self) -> list[str]:
        """Whatever of Parkade's doing is still there when no manifest is."""
        kinds = "iw,vnp,vc,tp,rg,ge,pods,nodes"
        found = self.plane.kubectl("get", kinds, "-A", "-o", "name").split()
        services = self.plane.kubectl("get", "services,endpointslices", "-A", "-o", "name").split()
        found += [name for name in services if not name.endswith("/kubernetes")]
        found += [f"triton-{index}: {name}" for index, names in self.models_on_triton().items() for name in names]
        found += [str(path) for path in self.repository.glob("*")]
        return found

    def variant(self, workload: str, name: str) -> dict:
        """The manifest of a workload under another name and model name, for tests to break."""
        wanted = ("InferenceWorkload", workload.split("/")[1])
        manifest = next(d for d in _documents(self.manifests) if (d["kind"], d["metadata"]["name"]) == wanted)
        manifest["metadata"]["name"] = manifest["spec"]["model"]["name"] = name
        return manifest

    def stop(self, *, purge: bool = True) -> None:
        """Stop every process of this world, by its id."""
        self.plane.stop(purge=purge)


def _documents(folder: Path) -> list[dict]:
    texts = [file.read_text() for file in sorted(folder.glob("*.yaml"))]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def cars(prefix: str, count: int, *, fleet: str, hardware: str, link: str) -> Iterable[Car]:
    """Cars that are alike, named `<prefix>-1` and so on."""
    return [Car(f"{prefix}-{number + 1}", fleet, hardware, link) for number in range(count)]
