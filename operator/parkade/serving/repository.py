"""Model repositories of Triton pools: `NAME/VERSION/...` behind an fsspec URL, or pushed with the load call."""

import io
import json
import secrets
import shutil
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, BinaryIO, Final, Literal

import fsspec

from parkade.errors import ModelRejected, SourceUnavailable
from parkade.serving.store import ModelStore
from parkade.snapshot.versions import version_of

Runtime = Literal["onnxruntime", "python"]
"""How a Triton pool runs an ONNX file: `TritonPool.spec.models.backend`."""

LARGEST_PUSH: Final = 32 * 2**20
"""Bytes. Triton takes at most 64 MiB a request by default, and base64 makes three bytes four."""


class ModelRepository:
    """Where one Triton pool's servers read their models.

    `url` is the fsspec URL of the repository that all servers of the pool read; empty = the pool has none, and the
    files ride on the load call (small models only). A version's model never changes: its number is made of the digest.
    """

    def __init__(self, url: str, runtime: Runtime, store: ModelStore, options: Mapping[str, Any] | None = None) -> None:
        self._url = url
        self._runtime = runtime
        self._store = store
        self._options = dict(options or {})

    def config(self, sha256: str, instances: int) -> str:
        """Triton's model configuration as JSON; inputs and outputs are taken by the backend from the file."""
        config: dict[str, Any] = {
            "backend": self._runtime,
            "max_batch_size": 0,
            "version_policy": {"specific": {"versions": [version_of(sha256)]}},
            "instance_group": [{"count": instances}],
        }
        if self._runtime == "python":
            config["instance_group"][0]["kind"] = "KIND_CPU"  # the template runs on the processor
        return json.dumps(config)

    def provide(self, name: str, sha256: str) -> Mapping[str, bytes]:
        """Make the staged artifact loadable as `name`; returns the files that must ride on the load call.

        Safe to call again, and for several servers at once.

        Raises:
            SourceUnavailable: the artifact is not staged, or the repository cannot be written.
            ModelRejected: the artifact is too large to ride on the load call.
        """
        if self._url:
            self._write(name, sha256)
            return {}
        size = self._store.size(sha256)
        if size > LARGEST_PUSH:
            raise ModelRejected(
                f"{name} has {size} bytes, and a pool without models.repository takes at most {LARGEST_PUSH};"
                " give the pool a repository that its servers read"
            )
        with self._store.open(sha256) as model:
            content = {"model.onnx": model.read(), **self._template()}
        return {f"file:{version_of(sha256)}/{file}": data for file, data in content.items()}

    def remove(self, name: str, sha256: str) -> None:
        """Delete the version's files, and the model's folder with its last version; call when no server holds it.

        Raises:
            SourceUnavailable: the repository does not answer.
        """
        self.remove_version(name, version_of(sha256))

    def remove_version(self, name: str, version: int) -> None:
        """As `remove`, for a version whose digest no manifest names any more.

        Raises:
            SourceUnavailable: the repository does not answer.
        """
        if not self._url:
            return
        try:
            system, root = self._open()
            folder = f"{root}/{name}/{version}"
            if system.exists(folder):
                system.rm(folder, recursive=True)
            if system.exists(f"{root}/{name}") and not self._numbers(system, f"{root}/{name}"):
                system.rm(f"{root}/{name}", recursive=True)
        except (OSError, ImportError, ValueError) as error:
            raise self._trouble(error) from None

    def versions(self) -> dict[str, tuple[int, ...]]:
        """Versions by model name that the repository holds; empty without a repository.

        Raises:
            SourceUnavailable: the repository does not answer.
        """
        if not self._url:
            return {}
        try:
            system, root = self._open()
            folders = [entry["name"] for entry in system.ls(root, detail=True) if entry["type"] == "directory"]
            return {folder.rsplit("/", 1)[-1]: self._numbers(system, folder) for folder in sorted(folders)}
        except FileNotFoundError:
            return {}
        except (OSError, ImportError, ValueError) as error:
            raise self._trouble(error) from None

    def _write(self, name: str, sha256: str) -> None:
        size = self._store.size(sha256)
        try:
            system, root = self._open()
            folder = f"{root}/{name}/{version_of(sha256)}"
            system.makedirs(folder, exist_ok=True)
            for file, data in self._template().items():
                if not system.exists(f"{folder}/{file}") or system.cat_file(f"{folder}/{file}") != data:
                    _place(system, io.BytesIO(data), f"{folder}/{file}")
            target = f"{folder}/model.onnx"
            if not system.exists(target) or system.size(target) != size:
                with self._store.open(sha256) as model:
                    _place(system, model, target)
        except (OSError, ImportError, ValueError) as error:
            raise self._trouble(error) from None

    def _template(self) -> dict[str, bytes]:
        if self._runtime == "onnxruntime":
            return {}
        template = files("parkade.serving").joinpath("templates", "python_model.py")
        return {"model.py": template.read_bytes()}

    def _open(self) -> tuple[Any, str]:
        system, root = fsspec.core.url_to_fs(self._url, use_listings_cache=False, **self._options)
        return system, root.rstrip("/")

    def _trouble(self, error: Exception) -> SourceUnavailable:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return SourceUnavailable(
            f"the model repository {self._url} cannot be used ({said});"
            " check the pool's models.repository and its credentials"
        )

    @staticmethod
    def _numbers(system: Any, folder: str) -> tuple[int, ...]:  # noqa: ANN401 -- fsspec has no types
        names = [entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in system.ls(folder, detail=True)]
        return tuple(sorted(int(name) for name in names if name.isdecimal()))


def _place(system: Any, content: BinaryIO, target: str) -> None:  # noqa: ANN401 -- fsspec has no types
    """Write beside the version's folder and rename, so that a crash leaves no half file where Triton looks."""
    folder, _, file = target.rpartition("/")
    temporary = f"{folder.rpartition('/')[0]}/incoming-{secrets.token_hex(8)}-{file}"
    try:
        with system.open(temporary, "wb") as sink:
            shutil.copyfileobj(content, sink, 2**20)
        system.mv(temporary, target)
    finally:
        if system.exists(temporary):
            system.rm(temporary)
