"""A real Triton server beside the node with one workload on it, and callers that use the workload's own Service."""

import functools
import http.server
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from demo.client import Load
from demo.inputs import Sample
from localnode.node import Node
from localnode.release import Release
from parkade.local import ports, triton

NAMESPACE: Final = "speech"
WORKLOAD: Final = "voice-activity"
REQUESTS: Final = 10_000
RATE: Final = 100.0
"""Requests a second: what 2 cores answer beside two of everything."""


@contextmanager
def model_source(node: Node, model: Path) -> Iterator[str]:
    """Serve one file over HTTP to the node's pods; yields its URL."""
    handler = functools.partial(_Quiet, directory=str(model.parent))
    with http.server.ThreadingHTTPServer((node.network.host, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{node.network.host}:{server.server_port}/{model.name}"
        finally:
            server.shutdown()


def start_triton(node: Node) -> dict[str, str]:
    """Start the server on the address at which pods reach this machine; returns the manifests' placeholders."""
    plane = node.plane
    listens = triton.Ports(*ports.choose(3))
    spec = triton.command(listens, plane.data / "triton-models", node.say, node.network.host)
    plane.ensure("triton", spec)
    plane.await_url("triton", triton.ready_url(listens, node.network.host))
    return {"TRITON_HTTP": f"{node.network.host}:{listens.http}", "TRITON_GRPC": f"{node.network.host}:{listens.grpc}"}


def apply(release: Release, manifests: Path, values: dict[str, str]) -> None:
    """Apply the manifests and wait until the workload is Placed and Ready."""
    text = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], manifests.read_text())
    release.node.plane.kubectl("apply", "-f", "-", stdin=text)
    for condition in ("Placed", "Ready"):
        release.node.plane.kubectl(
            "wait", f"iw/{WORKLOAD}", "-n", NAMESPACE, f"--for=condition={condition}", "--timeout=120s"
        )


def load(release: Release, samples: Sequence[Sample]) -> Load:
    """Callers of the workload's Service over HTTP and gRPC, `REQUESTS` in all and `RATE` a second."""
    status = release.node.json("iw", WORKLOAD, "-n", NAMESPACE)["status"]
    address = release.address(WORKLOAD, NAMESPACE)
    places = [f"{address}:{status[key].rpartition(':')[2]}" for key in ("url", "grpcUrl")]
    return Load(status["modelName"], *places, samples, REQUESTS, RATE)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Requests of a test are no news."""
