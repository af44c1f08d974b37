"""A whole plane with one pool of cars, and one workload that only cars may serve."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from parkade.local.plane import Plane
from vehicle.peers import affine, digest_of

FLEET = "owners-ca"
WORKLOAD, SPACE = "sign-reader", "default"


class CarPlane(Plane):
    """The examples' pool and workload, with the caller's cars and a model that loads."""

    content = affine()
    """The model."""

    def begin(self, root: Path, replicas: int = 1, **pool: object) -> None:
        """Start everything but cars; what differs of the example's pool is in `pool`."""
        self.root = root
        self.build()
        self.start_control_plane()
        self.install()
        self.start_link()
        self.start_parkade()
        self.model.write_bytes(self.content)
        manifest = self.example("vehiclenodepool")
        del manifest["spec"]["contract"]["quietHours"]  # a test must not depend on the hour
        manifest["spec"] |= {"match": {"fleet": FLEET, "hardware": "hw4"}} | pool
        self.kubectl("apply", "-f", str(root / "examples" / "regions.yaml"))
        self.apply(manifest, self.workload(replicas))

    @property
    def model(self) -> Path:
        """The file of the workload's model."""
        return self.data / "sign-reader.onnx"

    def example(self, name: str) -> dict[str, Any]:
        """A manifest of `examples/`."""
        found: dict[str, Any] = yaml.safe_load((self.root / "examples" / f"{name}.yaml").read_text())
        return found

    def workload(self, replicas: int) -> dict[str, Any]:
        """The workload's manifest with so many replicas."""
        workload = self.example("workload")
        workload["metadata"] = {"name": WORKLOAD, "namespace": SPACE}
        digest = digest_of(self.content)
        artifact = {"hardware": ["*"], "format": "onnx", "source": self.model.as_uri(), "sha256": digest}
        workload["spec"]["model"]["artifacts"] = [artifact]
        workload["spec"]["demand"] = [{"region": "us-ca", "rate": "1"}]
        workload["spec"]["trust"] = {"fleets": [FLEET]}
        workload["spec"]["placement"] = {"tiers": ["Vehicle"], "minReplicas": replicas}
        return workload

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Have what the manifests say."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def cells(self) -> dict[str, dict[str, Any]]:
        """The cells by name."""
        items = json.loads(self.kubectl("get", "vehiclecells", "-o", "json"))["items"]
        return {cell["metadata"]["name"]: cell for cell in items}


def until(
    what: str, holds: Callable[[], object], seconds: float = 60.0, seen: Callable[[], object] = lambda: ""
) -> None:
    """Wait for a condition; `seen` is told where it never holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}; {seen()}"
        time.sleep(0.2)
