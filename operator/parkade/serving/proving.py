"""One real request to a model that a server has just loaded: ready alone does not say that it runs."""

import logging
from collections.abc import Iterator
from math import prod
from typing import Any, Final

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from parkade.errors import ModelRejected

log = logging.getLogger(__name__)

Tensors = list[tuple[str, str, list[int]]]
"""Name, KServe datatype and shape of each input."""

SIZES: Final = (32, 512, 224, 1)
"""Tried in turn for axes of free size. Most images and token rows take 32 or 224, audio windows 512, tables 1."""
LARGEST_PROBE: Final = 4 * 2**20
"""Elements of all inputs together; a guess beyond it would cost more than it proves."""
INPUT_REFUSED: Final = ("cannot run on this input", "onnx runtime error")
"""How the two runtime templates begin when the model itself ran and did not like the input."""


def prove(client: InferenceServerClient, server: str, name: str, version: int) -> None:
    """Send zeros of the model's own shapes and wait for an answer.

    Where the model has axes of free size, a few usual sizes are tried. If it runs but likes none of them, that is
    written to the log and taken as proof that requests reach it; with fixed shapes a refusal is a broken model.

    Raises:
        ModelRejected: the model does not run; the message carries the server's sentence.
    """
    metadata = client.get_model_metadata(name, str(version))
    inputs = [(tensor["name"], tensor["datatype"], tensor["shape"]) for tensor in metadata["inputs"]]
    free = any(axis < 0 for _, _, shape in inputs for axis in shape)
    refusal = ""
    for guess in guesses(inputs):
        try:
            client.infer(name, [zeros(*tensor) for tensor in guess], model_version=str(version))
        except InferenceServerException as error:
            refusal = error.message() or "it gave no reason"
            if not any(mark in refusal.lower() for mark in INPUT_REFUSED):
                break
        else:
            return
    else:
        if free:
            log.warning("%s on %s runs, but refused every probe of zeros; last: %s", name, server, refusal[:200])
            return
    raise ModelRejected(
        f"Triton at {server} loads {name} but cannot run it: {' '.join(refusal.split())[:400]};"
        " check that the model runs under onnxruntime"
    )


def guesses(inputs: Tensors) -> Iterator[Tensors]:
    """Fill free axes of the inputs with one size after the other; equal guesses come once."""
    seen: list[Tensors] = []
    for size in SIZES:
        guess = [(name, datatype, fill(shape, size)) for name, datatype, shape in inputs]
        if guess not in seen and sum(prod(shape) for _, _, shape in guess) <= LARGEST_PROBE:
            seen.append(guess)
            yield guess


def fill(shape: list[int], size: int) -> list[int]:
    """Fill free axes: those at the end are sizes; the first, and any before a fixed axis, count items and become 1.

    `[-1, 3, -1, -1]` becomes `[1, 3, size, size]`, `[2, -1, 128]` `[2, 1, 128]`, and `[-1, -1]` `[1, size]`.
    """
    last_fixed = max((place for place, axis in enumerate(shape) if axis >= 0), default=0)
    return [
        axis if axis >= 0 else size if place > last_fixed or len(shape) == 1 else 1 for place, axis in enumerate(shape)
    ]


def zeros(name: str, datatype: str, shape: list[int]) -> InferInput:
    """Make an input of zeros, or of empty strings."""
    tensor = InferInput(name, shape, datatype)
    kind: Any = triton_to_np_dtype(datatype)
    value = np.full(shape, b"", np.object_) if datatype == "BYTES" else np.zeros(shape, kind)
    tensor.set_data_from_numpy(value)
    return tensor
