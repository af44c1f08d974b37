"""The chart on a node: volumes, which nothing provides there, then Helm."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from localnode.node import Node, ready
from parkade.local.plane import NAMESPACE

NAME: Final = "parkade"
COMPONENTS: Final = ("parkade-operator", "carlet", "parkade-router", "parkade-nats")
"""What runs on; the pods of Helm's hooks come and go."""
NOBODY: Final = 65532
"""The user of every container of the chart."""


class Release:
    """One release of the chart in Parkade's namespace."""

    def __init__(self, node: Node, helm: Path, chart: Path, values: Path) -> None:
        self.node = node
        self._helm = helm
        self._chart = chart
        self._values = values

    def prepare(self) -> None:
        """The namespace and two volumes, as an administrator makes them."""
        self.node.plane.kubectl("create", "namespace", NAMESPACE)
        for volume, size in {"models": "50Gi", "jetstream": "5Gi"}.items():
            self._volume(volume, size)

    def install(self, *arguments: str) -> float:
        """`helm upgrade --install --wait`; returns the seconds until every pod was Ready."""
        started = time.monotonic()
        self.helm("upgrade", "--install", NAME, str(self._chart), "--wait", "--timeout", "180s",
                  "--values", str(self._values), *arguments)  # fmt: skip
        return time.monotonic() - started

    def status(self) -> str:
        """What Helm says of the release: `deployed`, `failed`, and so on; empty where there is none."""
        found = json.loads(self.helm("list", "--output", "json"))
        return next((each["status"] for each in found if each["name"] == NAME), "")

    def helm(self, *arguments: str) -> str:
        """Run Helm on the release's namespace, and return what it printed; fails with its sentence and the pods'."""
        flags = ("--kubeconfig", str(self.node.plane.kubeconfig), "--namespace", NAMESPACE)
        home = {
            name: str(self.node.plane.data / "helm")
            for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
        }
        done = subprocess.run(
            [self._helm, *arguments, *flags], capture_output=True, text=True, check=False, env=os.environ | home
        )
        assert done.returncode == 0, f"{done.stderr}\n{self.complaints()}"
        return done.stdout

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl on the release's namespace."""
        return self.node.plane.kubectl("--namespace", NAMESPACE, *arguments, stdin=stdin)

    def pods(self, component: str = "") -> list[dict[str, Any]]:
        """The pods of one component, or of all, without those that are ending."""
        chosen = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component"
        chosen += f"={component}" if component else f" in ({','.join(COMPONENTS)})"
        found = self.node.json("pods", "--namespace", NAMESPACE, "--selector", chosen)
        return [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]

    def all_ready(self) -> bool:
        """Tell whether every pod is Ready."""
        return all(ready(pod) for pod in self.pods())

    def restarts(self) -> dict[str, int]:
        """How often each pod's container was started again."""
        return {
            pod["metadata"]["name"]: sum(status["restartCount"] for status in pod["status"]["containerStatuses"])
            for pod in self.pods()
        }

    def address(self, service: str, namespace: str = NAMESPACE) -> str:
        """The address of a Service inside the cluster, which this machine reaches too."""
        found: str = self.node.json("service", service, "--namespace", namespace)["spec"]["clusterIP"]
        return found

    def complaints(self) -> str:
        """What events and the containers that are not Ready say."""
        said = [self.kubectl("get", "pods", "--output=wide"), self.kubectl("events", "--types=Warning")]
        for pod in self.pods():
            if not ready(pod):
                name = pod["metadata"]["name"]
                said += [f"{name}:", _or_error(self.kubectl, "logs", name, "--tail=15", "--all-containers")]
        return "\n".join(said)

    def _volume(self, name: str, size: str) -> None:
        folder = self.node.plane.data / name
        folder.mkdir()
        os.chown(folder, NOBODY, NOBODY)
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": size},
                "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
                "hostPath": {"path": str(folder)},
            },
        }
        self.node.plane.kubectl("apply", "-f", "-", stdin=json.dumps(volume))


def _or_error(call: Callable[..., str], *arguments: str) -> str:
    try:
        return call(*arguments)
    except Exception as error:  # noqa: BLE001 -- it explains another failure, which must be seen
        return str(error)
