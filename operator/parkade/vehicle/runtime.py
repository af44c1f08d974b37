"""onnxruntime in the car: one thread, only ONNX, and a model is not loaded before it has answered once."""

import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from parkade.errors import ModelRejected
from parkade.vehicle.tensors import DTYPES, Array, BadRequest, TensorSpec

ONNX_TYPES: Final = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
"""ONNX element types and their names in the protocol."""

FREE_AXIS: Final = 32
"""Length given to a free axis in the warm-up; image networks want multiples of 32."""

ALONE: Final = ".load-"
"""Prefix of the folders in which files are loaded."""

SILENT: Final = 4
"""onnxruntime's severity `fatal`: what it would print about a model arrives as the exception's sentence."""


class Cancellation:
    """Lets the event loop stop an inference that runs in a thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._options: Any = None
        self.cancelled = False

    def watch(self, options: Any) -> None:  # noqa: ANN401 -- onnxruntime ships no types
        """Name the run that `cancel` stops."""
        with self._lock:
            self._options = options
            options.terminate = self.cancelled

    def cancel(self) -> None:
        """Stop the run at its next operator; a run that has not begun ends at once."""
        with self._lock:
            self.cancelled = True
            if self._options is not None:
                self._options.terminate = True


class Model(Protocol):
    """A loaded model; `infer` runs in a thread and knows nothing of HTTP."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    platform: str

    def infer(self, feeds: Mapping[str, Array], wanted: Sequence[str], cancellation: Cancellation) -> list[Array]:
        """Return the wanted outputs in their order.

        Raises:
            BadRequest: the model cannot take these inputs.
            ModelRejected: the model failed on inputs that it should take.
        """

    def close(self) -> None:
        """Give the memory back; no call may follow."""


class Runtime(Protocol):
    """Loads verified files; called in a thread."""

    def load(self, path: Path, name: str, memory: int) -> Model:
        """Load and warm up a model.

        Raises:
            ModelRejected: the file is no model that this runtime takes; the same bytes will fail again.
            Unavailable: the runtime itself does not answer.
        """


class OnnxRuntime:
    """onnxruntime on the CPU with one thread an inference; parallel work comes from slots alone."""

    def load(self, path: Path, name: str, memory: int) -> Model:
        """Load a model from a file whose digest was checked, and let it answer once; see `Runtime.load`."""
        if path.stat().st_size > memory:
            raise ModelRejected(
                f"the artifact of {name} has {path.stat().st_size} bytes, more than the {memory} declared as its "
                "memory; raise model.memory"
            )
        try:
            model = OnnxModel(_session(path), name)
        except ModelRejected:
            raise
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            raise ModelRejected(f"onnxruntime does not load {name}: {_sentence(error)}") from error
        model.warm_up()
        return model


def _session(path: Path) -> Any:  # noqa: ANN401 -- onnxruntime ships no types
    import onnxruntime  # noqa: PLC0415 -- heavy, and a car without work does not need it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = SILENT
    options.enable_cpu_mem_arena = False  # an arena never shrinks, and the car's memory is shared
    # in a folder of its own, where a graph that names weights in other files finds none of another's
    with tempfile.TemporaryDirectory(prefix=ALONE, dir=path.parent) as folder:
        alone = Path(folder) / path.name
        try:
            alone.hardlink_to(path)
        except OSError:  # a file system without links
            shutil.copyfile(path, alone)
        return onnxruntime.InferenceSession(str(alone), options, providers=["CPUExecutionProvider"])


class OnnxModel:
    """One onnxruntime session; sessions may be run by several threads at once."""

    platform = "onnxruntime_onnx"

    def __init__(self, session: Any, name: str) -> None:  # noqa: ANN401 -- onnxruntime ships no types
        self._session = session
        self._name = name
        self.inputs = tuple(_spec(argument, name) for argument in session.get_inputs())
        self.outputs = tuple(_spec(argument, name) for argument in session.get_outputs())
        self._ranks = {tensor.name: len(tensor.shape) for tensor in self.inputs}

    def infer(self, feeds: Mapping[str, Array], wanted: Sequence[str], cancellation: Cancellation) -> list[Array]:
        """Run the graph; a scalar of the graph is `[1]` outside, see `TensorSpec.protocol_shape`."""
        import onnxruntime  # noqa: PLC0415
        from onnxruntime.capi import onnxruntime_pybind11_state as states  # noqa: PLC0415

        options = onnxruntime.RunOptions()
        options.log_severity_level = SILENT
        cancellation.watch(options)
        ready = {name: _to_graph(array, self._ranks.get(name), name) for name, array in feeds.items()}
        try:
            answers = self._session.run(list(wanted), ready, options)
        except states.InvalidArgument as error:
            raise BadRequest(f"{self._name} cannot take these inputs: {_sentence(error)}") from error
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            raise ModelRejected(f"{self._name} failed on this request: {_sentence(error)}") from error
        return [np.atleast_1d(np.asarray(answer)) for answer in answers]

    def warm_up(self) -> None:
        """Answer one request of zeros.

        Raises:
            ModelRejected: a model of fixed shapes fails on it. Where an axis is free, zeros may be out of its domain
                and prove nothing.
        """
        feeds = {}
        for tensor in self.inputs:
            shape = [
                axis if axis >= 0 else (1 if position == 0 else FREE_AXIS) for position, axis in enumerate(tensor.shape)
            ]
            empty: Any = b"" if tensor.datatype == "BYTES" else 0
            feeds[tensor.name] = np.full(shape or [1], empty, DTYPES[tensor.datatype])
        try:
            self.infer(feeds, [tensor.name for tensor in self.outputs], Cancellation())
        except (BadRequest, ModelRejected) as error:
            if all(axis >= 0 for tensor in self.inputs for axis in tensor.shape):
                raise ModelRejected(f"the warm-up of {self._name} failed: {error}") from error

    def close(self) -> None:
        """Drop the session."""
        self._session = None


def _spec(argument: Any, model: str) -> TensorSpec:  # noqa: ANN401 -- onnxruntime ships no types
    if argument.type not in ONNX_TYPES:
        raise ModelRejected(
            f"{argument.name} of {model} is a {argument.type}, which the protocol cannot carry; export plain tensors"
        )
    shape = tuple(axis if isinstance(axis, int) and axis >= 0 else -1 for axis in argument.shape)
    return TensorSpec(argument.name, ONNX_TYPES[argument.type], shape)


def _to_graph(array: Array, rank: int | None, name: str) -> Array:
    if rank == 0 and array.size == 1:
        array = array.reshape(())
    if array.dtype != np.object_:
        return array
    try:
        texts = [item.decode() for item in array.ravel()]
    except UnicodeDecodeError as error:
        raise BadRequest(f"input '{name}' is not UTF-8, and ONNX strings are") from error
    text: Array = np.array(texts, np.object_)
    return text.reshape(array.shape)


def _sentence(error: Exception) -> str:
    """The first line of onnxruntime's words, without its error codes and without paths of this machine."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    _, _, words = line.rpartition(" : ")
    return " ".join(word for word in (words or line).split() if not word.startswith("/"))[:300]
