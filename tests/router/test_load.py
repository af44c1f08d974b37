"""Load that others generate: `ghz`, as it comes, over gRPC."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tritonclient.grpc import service_pb2

from router.doubler import DoublerServer
from router.peers import Router, cell
from router.places import MODEL, Fleet

# The first test builds ghz where the cache is empty.
pytestmark = [pytest.mark.triton, pytest.mark.timeout(600)]

CALLS, STREAMS, MESSAGES = 4000, 200, 10
REQUEST = {
    "model_name": MODEL,
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [4], "contents": {"fp32_contents": [0, 1, 2, 3]}}],
}


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The protocol as the public client has it."""
    files: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        for needed in file.dependencies:
            add(needed)
        files[file.name] = file

    add(service_pb2.DESCRIPTOR)
    described = FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(described.file.add())
    path = tmp_path_factory.mktemp("protocol") / "kserve.protoset"
    path.write_bytes(described.SerializeToString())
    return path


def load(ghz: Path, protocol: Path, router: Router, method: str, requests: dict | Sequence[dict], calls: int) -> dict:
    """What ghz reports."""
    command = [
        ghz, "--insecure", "--protoset", protocol, "--call", f"inference.GRPCInferenceService.{method}",
        "--data", json.dumps(requests), "--total", calls, "--concurrency", 16, "--connections", 4,
        "--timeout", "30s", "--format", "json", router.grpc,
    ]  # fmt: skip
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, check=True, timeout=300)
    return json.loads(done.stdout)


def test_every_call_of_ghz_is_answered(
    router: Router, server: DoublerServer, fleet: Fleet, ghz: Path, protocol: Path
) -> None:
    router.planned(cell(20), server.placement(share=80), timeout="30s")
    fleet.joined("a", "b")
    report = load(ghz, protocol, router, "ModelInfer", REQUEST, CALLS)
    assert (report["count"], report["statusCodeDistribution"]) == (CALLS, {"OK": CALLS})
    assert router.metric("requests_total", outcome="answered") == CALLS
    for tier in ("Vehicle", "Datacenter"):
        assert router.metric("requests_total", tier=tier, outcome="answered") > 0


def test_every_stream_of_ghz_is_answered(router: Router, server: DoublerServer, ghz: Path, protocol: Path) -> None:
    router.planned(server.placement(), timeout="30s")
    report = load(ghz, protocol, router, "ModelStreamInfer", [REQUEST] * MESSAGES, STREAMS)
    assert (report["count"], report["statusCodeDistribution"]) == (STREAMS, {"OK": STREAMS})
    assert router.metric("requests_total", outcome="answered") == STREAMS * MESSAGES
