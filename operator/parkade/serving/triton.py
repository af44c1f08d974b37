"""One Triton server: what it holds, and loading and unloading with proof."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import tritonclient.grpc as over_grpc
from geventhttpclient.response import HTTPParseError
from tritonclient.http import InferenceServerClient
from tritonclient.utils import InferenceServerException

from parkade.errors import ModelRejected, TritonUnavailable
from parkade.serving.proving import prove
from parkade.serving.repository import ModelRepository
from parkade.snapshot import LoadedModel, TritonServer
from parkade.snapshot.versions import version_of

POLL_SECONDS: Final = 0.05
"""Between two looks at a server that is loading or draining."""
LONGEST_SENTENCE: Final = 400
"""Characters of a server's message that are worth showing; a backend's traceback follows the first paragraph."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one server of a pool answers."""

    pool: str
    http: str
    """`host:port`."""
    grpc: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Header of the restricted model-control API, from `TritonPool.spec.controlSecretRef`; never logged."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What one server is to hold."""

    name: str
    """What clients call in `/v2/models/NAME`."""
    sha256: str
    instances: int


def probe(endpoint: Endpoint, *, timeout: float = 2.0) -> TritonServer:
    """What the server itself holds now. Never raises for a server that does not answer: `live` is false then.

    Both addresses are asked, since routers use both. `timeout` is in seconds for each of the calls: three, and one more
    for each model held.
    """
    try:
        with _calling(endpoint, timeout) as client:
            models = tuple(sorted(_models(client, endpoint)))
        _ask_over_grpc(endpoint, timeout)
    except TritonUnavailable as error:
        return TritonServer(endpoint.pool, endpoint.http, endpoint.grpc, live=False, failure=str(error))
    except (ModelRejected, KeyError, TypeError):
        failure = (
            f"{endpoint.http} answers, but not as a Triton server does; correct the address among the pool's endpoints"
        )
        return TritonServer(endpoint.pool, endpoint.http, endpoint.grpc, live=False, failure=failure)
    return TritonServer(endpoint.pool, endpoint.http, endpoint.grpc, live=True, models=models)


def load(endpoint: Endpoint, model: ServedModel, repository: ModelRepository, *, timeout: float = 120.0) -> LoadedModel:
    """Load the model, or change its instances or version, and prove it: ready, and one real request answered.

    Blocks for at most about `timeout` seconds. What is already loaded goes on answering requests meanwhile, also when
    its successor turns out to be unusable.

    Raises:
        TritonUnavailable: the server does not answer in time, or does not see the pool's repository.
        ModelRejected: the server cannot load or run the model; the message carries its sentence.
        SourceUnavailable: the artifact is not staged, or the repository cannot be written.
    """
    deadline = time.monotonic() + timeout
    files = repository.provide(model.name, model.sha256)
    config = repository.config(model.sha256, model.instances)
    version = version_of(model.sha256)
    with _calling(endpoint, timeout) as client:
        _order_load(client, endpoint, model.name, config, files)
        while not client.is_model_ready(model.name, str(version)):
            _pause_until(deadline, f"Triton at {endpoint.http} does not call {model.name} ready")
        prove(client, endpoint.http, model.name, version)
        instances = _instances(client.get_model_config(model.name, str(version)))
    return LoadedModel(model.name, version, instances, ready=True)


def unload(endpoint: Endpoint, name: str, *, timeout: float = 60.0) -> None:
    """Unload the model and wait until requests under way have drained, so that its memory may be used again.

    A model that is not loaded is no error.

    Raises:
        TritonUnavailable: the server does not answer, or still drains the model after `timeout` seconds.
        ModelRejected: the server refuses to unload it; the message carries its sentence.
    """
    deadline = time.monotonic() + timeout
    with _calling(endpoint, timeout) as client:
        client.unload_model(name, headers=dict(endpoint.headers))
        while any(model.name == name and not model.failure for model in _models(client, endpoint)):
            _pause_until(deadline, f"Triton at {endpoint.http} still drains {name}")


def _models(client: InferenceServerClient, endpoint: Endpoint) -> Iterator[LoadedModel]:
    """Models that answer, from the statistics; those loading, draining or failed, from the index.

    The index alone does not list what was pushed by a load call; the statistics list only what answers.
    """
    index = client.get_model_repository_index(headers=dict(endpoint.headers))
    answering = {(line["name"], int(line["version"])) for line in client.get_inference_statistics()["model_stats"]}
    for name, version in answering:
        try:
            config = client.get_model_config(name, str(version))
        except InferenceServerException:
            continue  # unloaded since the statistics were written
        yield LoadedModel(name, version, _instances(config), ready=True)
    for line in index:
        key = (line["name"], int(line.get("version", 0)))
        state, reason = line.get("state", ""), line.get("reason", "")
        if key in answering or state == "" or (state == "UNAVAILABLE" and reason in ("", "unloaded")):
            continue
        yield LoadedModel(*key, instances=0, ready=False, failure=_sentence(reason) if state == "UNAVAILABLE" else "")


def _ask_over_grpc(endpoint: Endpoint, timeout: float) -> None:
    try:
        with over_grpc.InferenceServerClient(endpoint.grpc) as client:
            client.is_server_live(client_timeout=timeout)
    except InferenceServerException as error:
        raise TritonUnavailable(
            f"Triton answers at {endpoint.http}, and over gRPC not at {endpoint.grpc}"
            f" ({_sentence(error.message() or 'it gave no reason')}); correct grpc among the pool's endpoints"
        ) from None


def _instances(config: Mapping[str, Any]) -> int:
    """`count` is per GPU where a group names GPUs."""
    return sum(group["count"] * max(1, len(group.get("gpus", ()))) for group in config["instance_group"])


def _order_load(
    client: InferenceServerClient, endpoint: Endpoint, name: str, config: str, files: Mapping[str, bytes]
) -> None:
    try:
        client.load_model(name, headers=dict(endpoint.headers), config=config, files=dict(files) or None)
    except InferenceServerException as error:
        said = error.message() or ""
        if "explicit model load" in said:
            raise TritonUnavailable(
                f"Triton at {endpoint.http} does not let models be loaded; start it with --model-control-mode=explicit"
            ) from None
        if "failed to poll" in said:
            raise TritonUnavailable(
                f"Triton at {endpoint.http} does not see {name} in its model repository; start it with a"
                " --model-repository that is the same place as the pool's models.repository"
            ) from None
        raise


def _pause_until(deadline: float, complaint: str) -> None:
    if time.monotonic() >= deadline:
        raise TritonUnavailable(f"{complaint} in time; look at its log, it is tried again")
    time.sleep(POLL_SECONDS)


@contextmanager
def _calling(endpoint: Endpoint, timeout: float) -> Iterator[InferenceServerClient]:
    """A client for one piece of work; every way in which the server can fail becomes an error of ours."""
    connect = min(timeout, 5.0)
    try:
        with InferenceServerClient(endpoint.http, connection_timeout=connect, network_timeout=timeout) as client:
            yield client
    except InferenceServerException as error:
        raise _refusal(endpoint, error) from None
    except (OSError, HTTPParseError, RuntimeError, ValueError) as error:
        said = str(error) or type(error).__name__
        raise TritonUnavailable(
            f"Triton at {endpoint.http} does not answer ({said}); check that it runs and that the address is right"
        ) from None


def _refusal(endpoint: Endpoint, error: InferenceServerException) -> TritonUnavailable | ModelRejected:
    said = _sentence(error.message() or "it gave no reason")
    if error.status() in ("401", "403"):
        return TritonUnavailable(
            f"Triton at {endpoint.http} refuses model control ({said}); set the pool's controlSecretRef to its header"
        )
    if error.status() in ("429", "502", "503", "504") or error.status() is None:
        return TritonUnavailable(f"Triton at {endpoint.http} is not ready for this ({said}); it is tried again")
    return ModelRejected(f"Triton at {endpoint.http} refuses the model: {said}")


def _sentence(message: str) -> str:
    """The part of a server's message that a user can act on: no traceback, one line, bounded."""
    first = re.split(r"\n\s*\n?At:\n", message)[0]
    return re.sub(r"\s+", " ", first).strip().removesuffix(";")[:LONGEST_SENTENCE]
