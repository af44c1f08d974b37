"""One Triton server: what it holds, loading and unloading with proof."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from parkade.snapshot import LoadedModel, TritonServer

if TYPE_CHECKING:
    from parkade.serving.repository import ModelRepository


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


def probe(endpoint: Endpoint, names: Collection[str] = (), *, timeout: float = 2.0) -> TritonServer:
    """What the server itself holds now. Never raises for a server that does not answer: `live` is false then.

    `names` are models to ask for by name too: one pushed by the load call is not in the server's index.
    """
    raise NotImplementedError


def load(
    endpoint: Endpoint, model: ServedModel, repository: "ModelRepository", *, timeout: float = 120.0
) -> LoadedModel:
    """Load the model, or change its instances or version, and prove it: ready, and one real request answered.

    Blocks for at most `timeout` seconds. Loading what is already loaded with other instances keeps answering requests meanwhile.

    Raises:
        TritonUnavailable: the server does not answer in time.
        ModelRejected: the server cannot load or run the model; the message carries its sentence.
        SourceUnavailable: the artifact is not staged, or the repository cannot be written.
    """
    raise NotImplementedError


def unload(endpoint: Endpoint, name: str, *, timeout: float = 60.0) -> None:
    """Unload the model and wait until the server no longer calls it ready, so that its memory may be used again.

    Raises:
        TritonUnavailable: the server does not answer, or still drains the model after `timeout` seconds.
        ModelRejected: the server refuses to unload it; the message carries its sentence.
    """
    raise NotImplementedError
