"""A real Triton server with the model `doubler`, for tests of the router."""

import json
import os
import subprocess
from pathlib import Path

import httpx
import tritonclient.http as over_http

import plain
from parkade.local import ports, triton
from router.places import MODEL, POOL, until

DOUBLER = b"""
import triton_python_backend_utils as backend
class TritonPythonModel:
    def execute(self, requests):
        inputs = [backend.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [backend.InferenceResponse([backend.Tensor("y", x * 2)]) for x in inputs]
"""
CONFIG = {
    "name": MODEL, "backend": "python", "max_batch_size": 0, "instance_group": [{"count": 2, "kind": "KIND_CPU"}],
    "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1]}],
    "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1]}],
}  # fmt: skip


class LocalTriton:
    """One server, stopped by the id of its process."""

    def __init__(self, folder: Path) -> None:
        self.ports = triton.Ports(*ports.choose(3))
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        spec = triton.command(self.ports, self.folder / "repository", print)
        with (self.folder / "triton.log").open("ab") as log:
            self.process = subprocess.Popen(spec.argv, env={**os.environ, **spec.env}, stdout=log, stderr=log)
        until(self._is_ready, 60)
        client = over_http.InferenceServerClient(f"127.0.0.1:{self.ports.http}", network_timeout=60)
        client.load_model(MODEL, config=json.dumps(CONFIG), files={"file:1/model.py": DOUBLER})
        client.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def placement(self, share: int = 100) -> dict:
        endpoint = {"http": f"127.0.0.1:{self.ports.http}", "grpc": f"127.0.0.1:{self.ports.grpc}", "replicas": 2}
        return {"place": POOL, "tier": "Datacenter", "share": share, "replicas": 2, "endpoints": [endpoint]}

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, (self.folder / "triton.log").read_text()[-2000:]
        try:
            return plain.get(triton.ready_url(self.ports), timeout=1).is_success
        except httpx.HTTPError:
            return False
