"""What the KServe Python client gets: run by itself with the addresses, the model and its input; prints JSON."""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig


def request(model: str, values: list[float], *, binary: bool) -> InferRequest:
    tensor = InferInput("x", [len(values)], "FP32")
    tensor.set_data_from_numpy(np.array(values, np.float32), binary_data=binary)
    return InferRequest(model_name=model, infer_inputs=[tensor])


async def ask(http: str, grpc: str, model: str, values: list[float]) -> dict[str, object]:
    rest = InferenceRESTClient(config=RESTConfig(protocol="v2"))
    rpc = InferenceGRPCClient(grpc)
    base = f"http://{http}"
    said = {
        "live": await rest.is_server_live(base),
        "ready": await rest.is_server_ready(base),
        "model": await rest.is_model_ready(base, model),
    }
    answers = {
        "http": await rest.infer(base, request(model, values, binary=False), model_name=model),
        "binary": await rest.infer(base, request(model, values, binary=True), model_name=model),
        "grpc": await rpc.infer(request(model, values, binary=True)),
    }
    await rest.close()
    await rpc.close()
    return said | {name: answer.outputs[0].as_numpy().tolist() for name, answer in answers.items()}


if __name__ == "__main__":
    http, grpc, model, values = sys.argv[1:]
    print(json.dumps(asyncio.run(ask(http, grpc, model, json.loads(values)))))  # noqa: T201 -- how the test gets it
