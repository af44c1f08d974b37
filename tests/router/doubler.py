"""A real Triton server with the model `doubler`, for tests of the router."""

import json

import tritonclient.http as over_http

from router.places import MODEL, POOL
from triton_server import LocalTriton

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


class DoublerServer(LocalTriton):
    """A server that holds the model from its start."""

    def start(self, *flags: str) -> None:
        super().start(*flags)
        client = over_http.InferenceServerClient(self.http, network_timeout=60)
        client.load_model(MODEL, config=json.dumps(CONFIG), files={"file:1/model.py": DOUBLER})
        client.close()

    def placement(self, share: int = 100) -> dict:
        endpoint = {"http": self.http, "grpc": self.grpc, "replicas": 2}
        return {"place": POOL, "tier": "Datacenter", "share": share, "replicas": 2, "endpoints": [endpoint]}
