"""What waits for a model runs as one, and every caller gets what it would have got alone; on real onnxruntime."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from parkade.errors import ModelRejected
from parkade.vehicle.batching import LARGEST, BatchingModel, BatchingRuntime, allows_batches, pays
from parkade.vehicle.runtime import Cancellation, OnnxRuntime
from parkade.vehicle.tensors import BadRequest, TensorSpec
from vehicle.peers import affine, onnx_model

FLOAT = TensorProto.FLOAT
NODE = onnx.helper.make_node


class Gated:
    """A loaded model of which the first run waits until `go`; it notes how many rows each run had."""

    def __init__(self, model) -> None:
        self.model, self.go, self.entered = model, threading.Event(), threading.Event()
        self.inputs, self.outputs, self.platform = model.inputs, model.outputs, model.platform
        self.rows: list[int] = []
        self.cancellations: list[Cancellation] = []

    def infer(self, feeds, wanted, cancellation):
        self.rows.append(len(next(iter(feeds.values()))))
        self.cancellations.append(cancellation)
        self.entered.set()
        assert self.go.wait(20)
        return self.model.infer(feeds, wanted, cancellation)

    def close(self) -> None:
        self.model.close()


@pytest.fixture
def load(tmp_path):
    def loaded(content: bytes):
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        return OnnxRuntime().load(path, "model", 2**20)

    return loaded


class Busy:
    """A batching model that runs something: what is asked now waits until `answers`."""

    def __init__(self, model, first) -> None:
        self.gated = Gated(model)
        self.batching = BatchingModel(self.gated)
        self.pool = ThreadPoolExecutor(32)
        self.first = self.ask(first)
        assert self.gated.entered.wait(10)
        self.asked: list[Future] = []
        self.cancellations: list[Cancellation] = []

    def ask(self, feeds, wanted=("y",), cancellation=None) -> Future:
        return self.pool.submit(self.batching.infer, feeds, list(wanted), cancellation or Cancellation())

    def queue(self, feeds, wanted=("y",)) -> None:
        """Ask, and wait until it waits, so that the order is known."""
        self.cancellations.append(Cancellation())
        before = self.waiting()
        self.asked.append(self.ask(feeds, wanted, self.cancellations[-1]))
        while self.waiting() == before:
            threading.Event().wait(0.001)

    def waiting(self) -> int:
        return len(self.batching._waiting)  # noqa: SLF001 -- nothing else shows that a thread waits

    def answers(self) -> list:
        self.gated.go.set()
        found = [future.exception(20) or future.result() for future in self.asked]
        self.first.result(20)
        self.pool.shutdown()
        return found


def rows(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)}


def test_what_waits_runs_as_one_and_is_answered_as_if_alone(load):
    model = load(affine())
    busy, requests = Busy(model, rows(1)), [rows(1 + number % 3, number) for number in range(5)]
    for request in requests:
        busy.queue(request)
    for request, answer in zip(requests, busy.answers(), strict=True):
        np.testing.assert_array_equal(answer[0], model.infer(request, ["y"], Cancellation())[0])
    assert busy.gated.rows == [1, 1 + 2 + 3 + 1 + 2]


def test_one_run_goes_on_at_a_time_and_nothing_waits_for_a_batch_to_fill(load):
    busy = Busy(load(affine()), rows(1))
    busy.queue(rows(1))
    assert busy.gated.rows == [1], "the second waits for the first"
    busy.answers()
    assert busy.gated.rows == [1, 1]
    assert len(busy.batching.infer(rows(1), ["y"], Cancellation())[0]) == 1


def test_a_batch_has_a_limit(load):
    busy = Busy(load(affine()), rows(1))
    for number in range(LARGEST + 2):
        busy.queue(rows(1, number))
    assert len(busy.answers()) == LARGEST + 2
    assert busy.gated.rows == [1, LARGEST, 2]


def two_inputs() -> bytes:
    """y = x + z, and w = x, over [n, m]."""
    nodes = [NODE("Add", ["x", "z"], ["y"]), NODE("Identity", ["x"], ["w"])]
    tensors = {name: (FLOAT, ["n", "m"]) for name in "xyzw"}
    return onnx_model(nodes, {n: tensors[n] for n in "xz"}, {n: tensors[n] for n in "yw"})


def test_only_requests_that_are_alike_run_together(load):
    busy = Busy(load(two_inputs()), {"x": np.zeros((1, 3), np.float32), "z": np.zeros((1, 3), np.float32)})

    def request(width, deep=1, z_rows=None):
        x = np.full((deep, width), width, np.float32)
        return {"x": x, "z": np.ones((z_rows or deep, width), np.float32)}

    busy.queue(request(3))
    busy.queue(request(4))
    busy.queue(request(3, 2), ("w",))
    busy.queue(request(3, 5))
    busy.queue(request(3, 6, 1))
    busy.queue(request(4, 2))
    found = [(float(answer[0].max()), answer[0].shape) for answer in busy.answers()]
    assert found == [(4, (1, 3)), (5, (1, 4)), (3, (2, 3)), (4, (5, 3)), (4, (6, 3)), (5, (2, 4))]
    assert busy.gated.rows == [1, 1 + 5, 1 + 2, 2, 6]


def gather() -> bytes:
    """y = table[x]: an index beyond the table fails."""
    table = onnx.numpy_helper.from_array(np.arange(4, dtype=np.float32), "table")
    node = NODE("Gather", ["table", "x"], ["y"])
    return onnx_model([node], {"x": (TensorProto.INT64, ["n"])}, {"y": (FLOAT, ["n"])}, [table])


def test_a_request_that_fails_hurts_no_other(load):
    busy = Busy(load(gather()), {"x": np.array([0])})
    for index in (1, 99, 2):
        busy.queue({"x": np.array([index])})
    one, bad, two = busy.answers()
    assert (one[0].tolist(), two[0].tolist()) == ([1.0], [2.0])
    assert isinstance(bad, BadRequest | ModelRejected)
    assert busy.gated.rows == [1, 3, 1, 1, 1]


def test_a_cancelled_request_leaves_the_batch(load):
    busy = Busy(load(affine()), rows(1))
    for number in range(3):
        busy.queue(rows(1, number))
    busy.cancellations[1].cancel()
    one, gone, two = busy.answers()
    assert [len(one[0]), len(two[0])] == [1, 1]
    assert "cancelled" in str(gone)
    assert busy.gated.rows == [1, 2]


def test_a_run_stops_when_everybody_in_it_has_gone_and_not_before(load):
    busy = Busy(load(affine()), rows(1))
    busy.queue(rows(1))
    busy.queue(rows(1))
    busy.answers()
    for last, cancellation in zip((False, True), busy.cancellations, strict=True):
        cancellation.cancel()
        assert busy.gated.cancellations[1].cancelled is last


def chain(steps: int, width: int = 64) -> bytes:
    """Matrix products, row by row."""
    matrix = onnx.numpy_helper.from_array(np.eye(width, dtype=np.float32), "matrix")
    names = ["x", *(f"h{step}" for step in range(1, steps)), "y"]
    nodes = [NODE("MatMul", [names[step], "matrix"], [names[step + 1]]) for step in range(steps)]
    tensor = (FLOAT, ["n", width])
    return onnx_model(nodes, {"x": tensor}, {"y": tensor}, [matrix])


def centred() -> bytes:
    """y = x - its mean over the first axis: rows see each other."""
    nodes = [NODE("ReduceMean", ["x"], ["mean"], axes=[0]), NODE("Sub", ["x", "mean"], ["y"])]
    tensor = (FLOAT, ["n", 3])
    return onnx_model(nodes, {"x": tensor}, {"y": tensor})


def summed() -> bytes:
    node = NODE("ReduceSum", ["x"], ["y"], keepdims=0)
    return onnx_model([node], {"x": (FLOAT, ["n", 3])}, {"y": (FLOAT, [])})


def picked() -> bytes:
    """y = the positions of what is not 0: as many as there are."""
    nodes = [NODE("NonZero", ["x"], ["found"]), NODE("Transpose", ["found"], ["y"])]
    return onnx_model(nodes, {"x": (FLOAT, ["n", 3])}, {"y": (TensorProto.INT64, ["k", 2])})


def fixed() -> bytes:
    tensor = (FLOAT, [1, 3])
    return onnx_model([NODE("Neg", ["x"], ["y"])], {"x": tensor}, {"y": tensor})


@pytest.mark.parametrize(
    ("content", "allowed"),
    [
        (affine(), True), (two_inputs(), True), (gather(), True), (chain(2), True),
        (centred(), False), (summed(), False), (picked(), False), (fixed(), False),
    ],
    ids=["affine", "two inputs", "gather", "chain", "centred", "summed", "picked", "fixed"],
)  # fmt: skip
def test_only_models_that_treat_rows_alone_are_batched(content, allowed, load):
    assert allows_batches(load(content)) is allowed


class Timed:
    """A model of one row in, one row out, that takes as long as it is told for so many rows."""

    inputs = outputs = (TensorSpec("x", "FP32", (-1, 1)),)

    def __init__(self, *takes: float) -> None:
        self.takes = takes

    def infer(self, feeds, wanted, _cancellation) -> list:
        if pause := self.takes[len(feeds["x"]) > 1]:  # a sleep of 0 s still lets others have the core
            time.sleep(pause)
        return [feeds["x"] for _ in wanted]


@pytest.mark.parametrize(
    ("one", "four", "cores", "paid"),
    [
        (0.010, 0.012, 2, True), (0.010, 0.030, 2, False), (0.010, 0.023, 1, True), (0.010, 0.040, 1, False),
        (0.0, 0.0, 1, False),
    ],
)  # fmt: skip
def test_batches_must_be_quicker_than_all_cores_together(one, four, cores, paid):
    assert pays(Timed(one, four), 4, cores) is paid


@pytest.mark.parametrize(("content", "batched"), [(chain(24, 1024), True), (affine(), False), (centred(), False)])
def test_a_model_is_batched_where_it_pays(content, batched, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    runtime = BatchingRuntime(OnnxRuntime(), 4, 1)
    assert isinstance(runtime.load(path, "model", 2**27), BatchingModel) is batched


def test_outputs_with_other_rows_end_batching_and_cost_no_answer(load):
    busy = Busy(load(picked()), {"x": np.ones((1, 3), np.float32)})
    for number in range(2):
        busy.queue({"x": np.full((1, 3), number, np.float32)})
    none, three = busy.answers()
    assert (len(none[0]), len(three[0])) == (0, 3)
    assert busy.gated.rows == [1, 2, 1, 1]
    assert busy.batching._largest == 1  # noqa: SLF001 -- it is not tried again
