"""Model repositories of Triton pools: `NAME/VERSION/...` behind an fsspec URL, or pushed with the load call."""

from collections.abc import Mapping
from typing import Literal

from parkade.serving.store import ModelStore

Runtime = Literal["onnxruntime", "python"]
"""How a Triton pool runs an ONNX file: `TritonPool.spec.models.backend`."""


class ModelRepository:
    """Where one Triton pool's servers read their models.

    `url` is the fsspec URL of the repository that all servers of the pool mount or read; empty = the pool has none, and the
    files ride on the load call (small models only).
    """

    def __init__(
        self, url: str, runtime: Runtime, store: ModelStore, options: Mapping[str, object] | None = None
    ) -> None:
        raise NotImplementedError

    def provide(self, name: str, sha256: str) -> Mapping[str, bytes]:
        """Make the staged artifact loadable as `name`; returns the files that must ride on the load call.

        Raises:
            SourceUnavailable: the artifact is not staged, or the repository cannot be written.
            ModelRejected: the artifact is too large to ride on the load call.
        """
        raise NotImplementedError

    def remove(self, name: str, sha256: str) -> None:
        """Delete the version's files (and the model's folder with its last version); call when no server holds it."""
        raise NotImplementedError

    def versions(self) -> dict[str, tuple[int, ...]]:
        """Versions by model name that the repository holds; empty without a repository."""
        raise NotImplementedError
