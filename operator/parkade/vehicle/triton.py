"""A Triton in the car, by URL, instead of onnxruntime: models are loaded by name with explicit model control."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from parkade.errors import ModelRejected, TritonUnavailable
from parkade.vehicle.runtime import Cancellation, Model
from parkade.vehicle.tensors import DTYPES, Array, BadRequest, TensorSpec

TIMEOUT: Final = httpx.Timeout(60.0, connect=2.0)
"""Seconds for a load or an inference."""


class TritonRuntime:
    """Loads each artifact under a name of its own on the server at `url` (`HOST:PORT`)."""

    def __init__(self, url: str) -> None:
        # tritonclient's own transport is bound to one thread; its request bodies travel over httpx
        self._client = httpx.Client(base_url=f"http://{url}/v2", timeout=TIMEOUT, trust_env=False)

    def load(self, path: Path, name: str, memory: int) -> Model:
        """Push the file with the load call; see `Runtime.load`. Triton itself bounds the memory of its models."""
        del memory
        content = path.read_bytes()
        # one name an artifact, so that two digests of a workload can stand side by side
        held = f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
        parameters = {
            "config": json.dumps({"backend": "onnxruntime", "max_batch_size": 0}),
            "file:1/model.onnx": base64.b64encode(content).decode(),
        }
        try:
            answer = self._client.post(f"/repository/models/{quote(held)}/load", json={"parameters": parameters})
            if answer.status_code != httpx.codes.OK:
                raise ModelRejected(f"Triton does not load {name}: {_sentence(answer)}")
            found: dict[str, Any] = self._client.get(f"/models/{quote(held)}").json()
        except httpx.HTTPError as error:
            raise TritonUnavailable(
                f"Triton at {self._client.base_url.netloc.decode()} does not answer; start it or correct --triton-url"
            ) from error
        return TritonModel(self._client, held, found)


class TritonModel:
    """One model on the car's Triton."""

    platform = "triton"

    def __init__(self, client: httpx.Client, held: str, found: Mapping[str, Any]) -> None:
        self._client = client
        self._held = held
        self.inputs = _specs(found["inputs"])
        self.outputs = _specs(found["outputs"])
        self._types = {spec.name: spec.datatype for spec in self.inputs}

    def infer(self, feeds: Mapping[str, Array], wanted: Sequence[str], cancellation: Cancellation) -> list[Array]:
        """Ask the server; see `Model.infer`. A request that it has begun cannot be stopped."""
        del cancellation
        inputs = []
        for name, array in feeds.items():
            tensor = triton.InferInput(name, list(array.shape), self._types[name])
            inputs.append(tensor.set_data_from_numpy(array.astype(DTYPES[self._types[name]], copy=False)))
        outputs = [triton.InferRequestedOutput(name) for name in wanted]
        body, length = triton.InferenceServerClient.generate_request_body(inputs, outputs=outputs)
        headers = {"Inference-Header-Content-Length": str(length)} if length is not None else {}
        try:
            answer = self._client.post(f"/models/{quote(self._held)}/infer", content=body, headers=headers)
        except httpx.HTTPError as error:
            raise ModelRejected("the car's Triton does not answer") from error
        if answer.status_code == httpx.codes.BAD_REQUEST:
            raise BadRequest(_sentence(answer))
        if answer.status_code != httpx.codes.OK:
            raise ModelRejected(_sentence(answer))
        return _arrays(answer, wanted)

    def close(self) -> None:
        """Unload; a server that is gone has unloaded already."""
        try:
            self._client.post(f"/repository/models/{quote(self._held)}/unload")
        except httpx.HTTPError:
            return


def _arrays(answer: httpx.Response, wanted: Sequence[str]) -> list[Array]:
    length = answer.headers.get("Inference-Header-Content-Length")
    try:
        found = triton.InferenceServerClient.parse_response_body(
            answer.content, header_length=int(length) if length else None
        )
        return [found.as_numpy(name) for name in wanted]
    except (InferenceServerException, ValueError, KeyError) as error:
        raise ModelRejected("the car's Triton sends an answer that cannot be read") from error


def _sentence(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])[:300]
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code} without a sentence"


def _specs(rows: Sequence[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(row["name"], row["datatype"], tuple(int(axis) for axis in row["shape"])) for row in rows)
