"""Container images as OCI archives, written without a container engine: equal files give equal bytes."""

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

Files = Mapping[str, Path | bytes]
"""What is at each path of an image (without the leading slash): a file of this machine, or its content."""

PLATFORM: Final = {"x86_64": "amd64", "aarch64": "arm64"}
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"


@dataclass(frozen=True, slots=True)
class Image:
    """What a container starts from."""

    name: str
    """With its registry and tag, such as `parkade.test/carlet:1`: containerd takes no name without a domain."""
    layers: Sequence[Files]
    """From the one that changes least."""
    entrypoint: Sequence[str] = ()
    """Empty where a container's arguments name the program."""
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = "65532:65532"


def write(image: Image, archive: Path) -> str:
    """Write an OCI image layout as one tar file, which `ctr images import` and `docker load` take; returns its digest.

    Times are SOURCE_DATE_EPOCH (seconds; 0 when unset), owners root, modes 0755 or 0644.
    """
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        layers = [_layer(files, Path(folder, str(number))) for number, files in enumerate(image.layers)]
        config = _json(_config(image, [digest for digest, _ in layers]))
        manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": _descriptor(CONFIG, config),
                "layers": [
                    {"mediaType": LAYER, "digest": digest, "size": file.stat().st_size} for digest, file in layers
                ],
            }
        )
        partial = archive.with_name(f".{archive.name}.{os.getpid()}")
        with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
            _add(tar, "index.json", _json(_index(image, manifest)))
            for blob in (config, manifest):
                _add(tar, _blob(_digest(blob)), blob)
            for digest, file in dict(layers).items():
                _add(tar, _blob(digest), file)
        partial.replace(archive)
    return _digest(manifest)


def _layer(files: Files, target: Path) -> tuple[str, Path]:
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents} - {"."}
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folders | set(files)):
            if path in folders:
                _add(tar, path, None)
            else:
                _add(tar, path, files[path])
    with target.open("rb") as written:
        return f"sha256:{hashlib.file_digest(written, 'sha256').hexdigest()}", target


def _add(tar: tarfile.TarFile, name: str, content: Path | bytes | None) -> None:
    """One member whose metadata say nothing of this machine; None is a folder."""
    member = tarfile.TarInfo(name)
    member.mtime, member.mode = _epoch(), 0o644
    if content is None:
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
    elif isinstance(content, bytes):
        member.size = len(content)
        member.mode = 0o755 if content.startswith(b"#!") else 0o644
        tar.addfile(member, io.BytesIO(content))
    else:
        status = content.stat()
        member.size = status.st_size
        member.mode = 0o755 if status.st_mode & 0o100 else 0o644
        with content.open("rb") as source:
            tar.addfile(member, source)


def _config(image: Image, layers: Sequence[str]) -> dict[str, Any]:
    return {
        "architecture": PLATFORM[os.uname().machine],
        "os": "linux",
        "config": {
            "User": image.user,
            "Env": [f"{name}={value}" for name, value in sorted(image.env.items())],
            "WorkingDir": "/",
            **({"Entrypoint": list(image.entrypoint)} if image.entrypoint else {}),
        },
        "rootfs": {"type": "layers", "diff_ids": list(layers)},
    }


def _index(image: Image, manifest: bytes) -> dict[str, Any]:
    named = {
        "io.containerd.image.name": image.name,
        "org.opencontainers.image.ref.name": image.name.rpartition(":")[2],
    }
    platform = {"architecture": PLATFORM[os.uname().machine], "os": "linux"}
    entry = {**_descriptor(MANIFEST, manifest), "platform": platform, "annotations": named}
    return {"schemaVersion": 2, "manifests": [entry]}


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _epoch() -> int:
    return int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
