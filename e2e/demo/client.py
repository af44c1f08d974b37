"""Callers as users write them: the public tritonclient over HTTP and gRPC, every answer compared with the right one."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import np_to_triton_dtype

from demo.inputs import Sample

Transport = Literal["http", "grpc"]

RELATIVE: Final = 1e-3
ABSOLUTE: Final = 1e-4
"""Tolerance of an answer: another release of onnxruntime may add in another order."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one crowd of callers asks for."""

    model: str
    http: str
    """`status.url`: host:port."""
    grpc: str
    """`status.grpcUrl`: host:port."""
    samples: Sequence[Sample]
    count: int
    """Requests in all."""
    rate: float
    """Requests a second, evenly spaced."""
    threads: int = 4
    """Callers at once; every second one speaks gRPC."""
    timeout: float = 10.0
    """Seconds a caller waits for one answer: what the demo's workloads promise (`latency.timeout`)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The fate of one request."""

    model: str
    transport: Transport
    sent: float
    """`time.monotonic()` when it was sent."""
    milliseconds: float
    failure: str = ""
    """What went wrong; empty when the right answer came."""
    wrong: bool = False
    """An answer came in time and in form, and differs from the right one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """All requests of some traffic, in the order they were sent."""

    answers: tuple[Answer, ...]
    unsent: int
    """Requests that were not sent before the time was over."""

    @property
    def failures(self) -> tuple[str, ...]:
        """What went wrong, a sentence for each request that did not get the right answer."""
        return tuple(answer.failure for answer in self.answers if answer.failure)

    def milliseconds(self, model: str, transport: Transport | None = None) -> list[float]:
        """Latencies of the right answers of one model."""
        return [
            answer.milliseconds
            for answer in self.answers
            if answer.model == model and transport in (None, answer.transport) and not answer.failure
        ]


class Traffic:
    """Sends loads from threads of its own until all is sent, the time is over, or `stop` is called."""

    def __init__(self, loads: Sequence[Load], *, seconds: float) -> None:
        self._stopped = threading.Event()
        self._deadline = time.monotonic() + seconds
        self._answers: list[Answer] = []
        self._wanted = sum(load.count for load in loads)
        self._threads = [
            threading.Thread(target=self._call, args=(load, turns, "grpc" if number % 2 else "http"))
            for load in loads
            for turns in [_Turns(load.count)]
            for number in range(load.threads)
        ]
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.finish()

    @property
    def answered(self) -> int:
        """Requests that have got an answer, right or not, up to now."""
        return len(self._answers)

    def lies(self, model: str, since: float) -> list[Answer]:
        """Wrong answers of a model up to now, to requests sent since a moment of `time.monotonic()`."""
        found = [answer for answer in list(self._answers) if answer.wrong and answer.model == model]
        return sorted((answer for answer in found if answer.sent >= since), key=lambda answer: answer.sent)

    def stop(self) -> None:
        """Send no more; those under way are awaited by `finish`."""
        self._stopped.set()

    def finish(self) -> Outcome:
        """Wait for the callers and return what happened."""
        for thread in self._threads:
            thread.join()
        answers = tuple(sorted(self._answers, key=lambda answer: answer.sent))
        return Outcome(answers, unsent=self._wanted - len(answers))

    def _call(self, load: Load, turns: "_Turns", transport: Transport) -> None:
        with Caller(load.http if transport == "http" else load.grpc, transport, load.timeout) as caller:
            for turn in turns:
                due = self._started + turn / load.rate
                if due >= self._deadline or self._stopped.wait(max(0.0, due - time.monotonic())):
                    return
                self._answers.append(caller.ask(load.model, load.samples[turn % len(load.samples)]))


class _Turns:
    """Hands the numbers below `count` to several threads, each once."""

    def __init__(self, count: int) -> None:
        self._left = iter(range(count))
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[int]:
        while True:
            with self._lock:
                turn = next(self._left, None)
            if turn is None:
                return
            yield turn


class Caller:
    """One tritonclient; tritonclient's own are not to be shared between threads."""

    def __init__(self, address: str, transport: Transport, timeout: float) -> None:
        self._transport = transport
        self._timeout = timeout
        self._library: Any = over_http if transport == "http" else over_grpc
        limits = {"connection_timeout": timeout, "network_timeout": timeout} if transport == "http" else {}
        self._client = self._library.InferenceServerClient(address, **limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def tensors(self, model: str, sample: Sample) -> dict[str, np.ndarray]:
        """Send one request and return the outputs that were asked for."""
        result = self._infer(model, sample.inputs)
        return {name: result.as_numpy(name) for name in sample.expected}

    def ask(self, model: str, sample: Sample) -> Answer:
        """Send one request and compare its answer."""
        sent = time.monotonic()
        wrong = False
        try:
            result = self._infer(model, sample.inputs)
            milliseconds = 1e3 * (time.monotonic() - sent)
            failure = next(_differences(result, sample.expected), "")
            wrong = bool(failure)
        except Exception as error:  # noqa: BLE001 -- whatever the client library raises is what a user would see
            milliseconds = 1e3 * (time.monotonic() - sent)
            failure = f"{type(error).__name__}: {error}"
        failure = failure and f"{model} over {self._transport}: {failure}"
        return Answer(model, self._transport, sent, milliseconds, failure, wrong)

    def _infer(self, model: str, inputs: Mapping[str, np.ndarray]) -> Any:  # noqa: ANN401 -- tritonclient has no types
        tensors = []
        for name, value in inputs.items():
            tensor = self._library.InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype))
            tensor.set_data_from_numpy(value)
            tensors.append(tensor)
        limits = {} if self._transport == "http" else {"client_timeout": self._timeout}
        return self._client.infer(model, tensors, **limits)


def _differences(result: Any, expected: Mapping[str, np.ndarray]) -> Iterator[str]:  # noqa: ANN401
    for name, right in expected.items():
        got = result.as_numpy(name)
        if got is None or got.shape != right.shape:
            yield f"{name} has shape {None if got is None else got.shape}, the model run directly gives {right.shape}"
        elif not np.allclose(got, right, RELATIVE, ABSOLUTE):
            yield f"{name} differs from the model run directly by up to {np.abs(got - right).max():.2g}"
