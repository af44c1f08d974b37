"""Runs an ONNX file on onnxruntime inside Triton's Python backend, for pools with `models.backend: python`.

It is copied into the model repository as `model.py`, beside `model.onnx`, and imported by the backend's stub, never by
Parkade. Tensors keep the names, types and shapes of the ONNX file; a scalar is `[1]` to clients, since Triton has no
tensor without dimensions.
"""

from __future__ import annotations  # the stub's module lacks these classes while this file is imported

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils

MODEL = Path(__file__).with_name("model.onnx")

# ONNX type: Triton type. What is not here has no counterpart in the KServe v2 protocol that numpy can carry.
TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
}


def open_session(level: ort.GraphOptimizationLevel) -> ort.InferenceSession:
    """One thread an instance: `instance_group` is the only thing that multiplies work."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = level
    options.log_severity_level = 4
    return ort.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])


def tensor_config(tensor: ort.NodeArg) -> dict[str, Any]:
    """One line of a Triton configuration."""
    if tensor.type not in TYPES:
        raise ValueError(
            f"{tensor.name} is a {tensor.type}, which Triton cannot carry; export the model with plain tensors"
        )
    dims = [axis if isinstance(axis, int) and axis > 0 else -1 for axis in tensor.shape]
    return {"name": tensor.name, "data_type": TYPES[tensor.type], "dims": dims or [1]}


def to_onnx(array: np.ndarray[Any, Any], rank: int) -> np.ndarray[Any, Any]:
    """Triton's bytes are ONNX's text, and its `[1]` may be a scalar."""
    if array.dtype == np.object_:
        array = np.array([item.decode() for item in array.ravel()], np.object_).reshape(array.shape)
    return array.reshape(()) if rank == 0 else array


def to_triton(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The way back: text as bytes, a scalar as `[1]`, rows in C order."""
    if array.dtype == np.object_:
        array = np.array([str(item).encode() for item in array.ravel()], np.object_).reshape(array.shape)
    return np.ascontiguousarray(array).reshape(array.shape or (1,))


class TritonPythonModel:
    """The class that the backend looks for."""

    @staticmethod
    def auto_complete_config(config: pb_utils.ModelConfig) -> pb_utils.ModelConfig:
        """Take inputs and outputs from the file itself; optimising the graph is left to the instances."""
        session = open_session(ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
        for tensor in session.get_inputs():
            config.add_input(tensor_config(tensor))
        for tensor in session.get_outputs():
            config.add_output(tensor_config(tensor))
        config.set_max_batch_size(0)
        return config

    def initialize(self, args: dict[str, str]) -> None:
        """Open the session of this instance."""
        del args
        self.session = open_session(ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
        self.ranks = {tensor.name: len(tensor.shape) for tensor in self.session.get_inputs()}
        self.outputs = [tensor.name for tensor in self.session.get_outputs()]

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request by itself; one that the model refuses gets a sentence and harms no other."""
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        """Run the model once."""
        wanted = [name for name in self.outputs if name in request.requested_output_names()] or self.outputs
        try:
            feeds = {
                tensor.name(): to_onnx(tensor.as_numpy(), self.ranks[tensor.name()]) for tensor in request.inputs()
            }
            values = self.session.run(wanted, feeds)
        except Exception as error:  # noqa: BLE001 -- onnxruntime's errors share no base class but this one
            sentence = f"the model cannot run on this input: {error}"
            return pb_utils.InferenceResponse([], pb_utils.TritonError(sentence))
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, to_triton(value)) for name, value in zip(wanted, values, strict=True)]
        )
