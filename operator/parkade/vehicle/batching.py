"""Requests that wait for the same model run as one: no request waits to fill a batch, and none suffers from another.

A car may have more slots than cores. Then one run of a model goes on at a time, and what waits meanwhile is run
together, where that is quicker than all cores are one by one. Memory stays within what the slots need anyway: each has
at most one request.
"""

import threading
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np

from parkade.errors import ModelRejected
from parkade.vehicle.runtime import FREE_AXIS, Cancellation, Model, Runtime
from parkade.vehicle.tensors import DTYPES, Array, BadRequest, TensorSpec

LARGEST: Final = 8
"""Requests in one run: beyond, the first would wait long for the last."""
_RELATIVE: Final = 1e-3
_ABSOLUTE: Final = 1e-5
"""How alike the rows of a batch must be to their own answers: kernels sum in another order at other sizes."""

_TRIES: Final = 3
"""Runs of which the quickest counts."""
_GAIN: Final = 0.75
"""Of the time of runs one by one; a smaller gain is lost in passing requests from thread to thread."""
_MOMENT: Final = 2e-4
"""Seconds of a run below which handing a turn from thread to thread (about 20 microseconds) is not worth it."""

Key = tuple[object, ...]


class _Request:
    """One request: it waits until it is `settled`, or until it is given a batch to run."""

    def __init__(self, feeds: Mapping[str, Array], wanted: Sequence[str], cancellation: Cancellation) -> None:
        self.feeds, self.wanted, self.cancellation = feeds, wanted, cancellation
        lengths = {array.shape[0] if array.ndim else 0 for array in feeds.values()}
        self.rows = lengths.pop() if len(lengths) == 1 else 0
        """Length of the first axis of every input; 0 where they differ."""
        self.key: Key = (
            tuple(wanted), *sorted((name, array.dtype.str, array.shape[1:]) for name, array in feeds.items()),
        )  # fmt: skip
        """Requests with the same key can be laid one upon the other."""
        self.batch: list[_Request] = []
        self.woken = threading.Event()
        self.answer: list[Array] | Exception | None = None

    def settle(self, answer: list[Array] | Exception) -> None:
        """Have an answer, or why there is none; whoever waits for it goes on."""
        self.answer = answer
        self.woken.set()

    def result(self) -> list[Array]:
        """Return the answer or raise why there is none."""
        if isinstance(self.answer, list):
            return self.answer
        raise self.answer or ModelRejected("the request was never run")


class BatchingModel:
    """A model whose rows do not see each other; `infer` may be called by several threads at once."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.inputs, self.outputs, self.platform = model.inputs, model.outputs, model.platform
        self._lock = threading.Lock()
        self._busy = False
        """Whether a run goes on; one does while a request waits."""
        self._waiting: list[_Request] = []
        self._largest = LARGEST

    def infer(self, feeds: Mapping[str, Array], wanted: Sequence[str], cancellation: Cancellation) -> list[Array]:
        """Run when nothing else does, together with what waits alike by then; see `Model.infer`."""
        request = _Request(feeds, wanted, cancellation)
        with self._lock:
            if self._busy:
                self._waiting.append(request)
            else:
                self._busy, request.batch = True, [request]
        if not request.batch:
            request.woken.wait()
        if request.batch:
            try:
                self._run(request.batch)
            finally:
                self._pass_on()
        return request.result()

    def close(self) -> None:
        """Close the model."""
        self._model.close()

    def _pass_on(self) -> None:
        """Give the turn to the request that waits longest, with those that are alike; to nobody if none waits."""
        with self._lock:
            for request in [r for r in self._waiting if r.cancellation.cancelled]:
                self._waiting.remove(request)
                request.settle(ModelRejected("the request was cancelled"))
            if not self._waiting:
                self._busy = False
                return
            first = self._waiting[0]
            alike = [r for r in self._waiting if r is first or (first.rows and r.rows and r.key == first.key)]
            first.batch = alike[: self._largest]
            self._waiting = [r for r in self._waiting if r not in first.batch]
        first.woken.set()

    def _run(self, batch: list[_Request]) -> None:
        """Settle every request of a batch; one by one where they do not run together."""
        if len(batch) > 1:
            try:
                answers = self._together(batch)
            except (BadRequest, ModelRejected):
                pass  # one of them is at fault, or the model; each finds out for itself
            else:
                for request, answer in zip(batch, answers, strict=True):
                    request.settle(answer)
                return
        for request in batch:
            try:
                request.settle(self._model.infer(request.feeds, request.wanted, request.cancellation))
            except Exception as error:  # noqa: BLE001 -- it belongs to the thread that waits for it
                request.settle(error)

    def _together(self, batch: list[_Request]) -> list[list[Array]]:
        """Answers of one run, in the order of the requests.

        Raises:
            BadRequest: the model cannot take these inputs.
            ModelRejected: it failed, all requests were cancelled, or its outputs are not row by row.
        """
        first, whole = batch[0], Cancellation()
        votes = _Votes(whole, len(batch))
        for request in batch:
            request.cancellation.watch(_Ballot(votes))
        feeds = {name: np.concatenate([request.feeds[name] for request in batch]) for name in first.feeds}
        outputs = self._model.infer(feeds, first.wanted, whole)
        ends = list(accumulate(request.rows for request in batch))
        if any(not output.ndim or output.shape[0] != ends[-1] for output in outputs):
            self._largest = 1
            raise ModelRejected("its outputs have other rows than its inputs")
        pieces = [np.split(output, ends[:-1]) for output in outputs]
        return [[piece[position] for piece in pieces] for position in range(len(batch))]


class _Votes:
    """Stops a run when every request in it was cancelled."""

    def __init__(self, run: Cancellation, voters: int) -> None:
        self._run, self._missing = run, voters
        self._lock = threading.Lock()

    def cast(self) -> None:
        with self._lock:
            self._missing -= 1
            stop = self._missing == 0
        if stop:
            self._run.cancel()


class _Ballot:
    """What a request's `Cancellation` sets, in place of the options of a run of its own."""

    def __init__(self, votes: _Votes) -> None:
        self._votes, self._cast = votes, False

    @property
    def terminate(self) -> bool:
        """Whether this request was cancelled."""
        return self._cast

    @terminate.setter
    def terminate(self, cancelled: bool) -> None:
        if cancelled and not self._cast:
            self._cast = True
            self._votes.cast()


class BatchingRuntime:
    """Loads models that batch where they allow it, for a car with more slots than cores."""

    def __init__(self, runtime: Runtime, slots: int, cores: int) -> None:
        self._runtime, self._slots, self._cores = runtime, slots, cores

    def load(self, path: Path, name: str, memory: int) -> Model:
        """Load a model and see whether it allows batches; see `Runtime.load`."""
        model = self._runtime.load(path, name, memory)
        return BatchingModel(model) if allows_batches(model) and pays(model, self._slots, self._cores) else model


def allows_batches(model: Model) -> bool:
    """Whether rows may be laid one upon the other: first axes are free, and the model is seen to treat rows alone.

    A free first axis alone does not say so: it may be a sequence, or what the model normalises over. So rows of noise
    are answered apart and together, and must come out alike.
    """
    if not all(spec.shape[:1] == (-1,) for spec in (*model.inputs, *model.outputs)) or not model.inputs:
        return False
    random, wanted = np.random.default_rng(0), [spec.name for spec in model.outputs]
    apart = [{spec.name: _noise(spec, rows, random) for spec in model.inputs} for rows in (1, 2)]
    joined = {name: np.concatenate([feeds[name] for feeds in apart]) for name in apart[0]}
    try:
        one, two, both = (model.infer(feeds, wanted, Cancellation()) for feeds in (*apart, joined))
    except (BadRequest, ModelRejected):
        return False
    return all(
        len(first) == 1 and len(second) == 2 and _alike(np.concatenate([first, second]), together)
        for first, second, together in zip(one, two, both, strict=True)
    )


def pays(model: Model, slots: int, cores: int) -> bool:
    """Whether one core runs what all slots ask as one sooner than all cores one by one, and a run is no mere moment.

    Products of matrices gain, because their weights are read once; convolutions on a core do not. Several batches
    at a time would be smaller and read the weights as often as there are cores.
    """
    most = min(slots, LARGEST)
    random, wanted, seconds = np.random.default_rng(0), [spec.name for spec in model.outputs], dict[int, float]()
    for rows in (1, most):
        feeds = {spec.name: _noise(spec, rows, random) for spec in model.inputs}
        took = []
        for _ in range(_TRIES):
            begun = perf_counter()
            model.infer(feeds, wanted, Cancellation())
            took.append(perf_counter() - begun)
        seconds[rows] = min(took)
    return seconds[1] > _MOMENT and seconds[most] < min(most / cores, _GAIN * most) * seconds[1]


def _noise(spec: TensorSpec, rows: int, random: np.random.Generator) -> Array:
    shape = [rows, *(axis if axis >= 0 else FREE_AXIS for axis in spec.shape[1:])]
    dtype = DTYPES[spec.datatype]
    noise: Any = random.uniform(-1.0, 1.0, shape) if dtype.kind == "f" else random.integers(0, 2, shape)
    array: Array = (noise.astype(np.bytes_) if dtype.kind == "O" else noise).astype(dtype)
    return array


def _alike(apart: Array, together: Array) -> bool:
    if apart.shape != together.shape or apart.dtype.kind not in "biuf":
        return apart.shape == together.shape and bool((apart == together).all())
    return bool(np.allclose(apart, together, rtol=_RELATIVE, atol=_ABSOLUTE))
