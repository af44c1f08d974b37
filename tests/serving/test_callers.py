"""The demo's callers notice what a user would notice; otherwise its zero failures would mean nothing."""

import time

import numpy as np
import pytest

from demo.client import Load, Traffic
from demo.inputs import Sample
from parkade.local import ports
from parkade.serving import ServedModel, load
from serving import onnx_files
from serving.conftest import PoolServer, Shelf

pytestmark = pytest.mark.triton

ONES = np.ones((1, 4), np.float32)
RIGHT = Sample({"x": ONES}, {"y": ONES})
WRONG = Sample({"x": ONES}, {"y": ONES + 0.01})
SHORT = Sample({"x": ONES}, {"y": ONES[:, :2]})


@pytest.fixture
def echo(server: PoolServer, shelf: Shelf) -> PoolServer:
    digest = shelf.put(onnx_files.identity(onnx_files.FLOAT, ("n", 4)))
    load(server.endpoint, ServedModel("callers-echo", digest, 1), shelf.repository)
    return server


def asking(server: PoolServer, *samples: Sample, count: int = 20, rate: float = 200.0) -> Load:
    place = server.endpoint
    return Load("callers-echo", place.http, place.grpc, samples, count=count, rate=rate)


def test_right_answers_over_both_transports(echo: PoolServer):
    outcome = Traffic([asking(echo, RIGHT, count=40)], seconds=30).finish()
    assert (len(outcome.answers), outcome.unsent, outcome.failures) == (40, 0, ())
    assert {answer.transport for answer in outcome.answers} == {"http", "grpc"}
    assert all(milliseconds > 0 for milliseconds in outcome.milliseconds("callers-echo"))


def test_a_wrong_answer_is_a_failure(echo: PoolServer):
    outcome = Traffic([asking(echo, RIGHT, WRONG, SHORT, count=30)], seconds=30).finish()
    assert len(outcome.failures) == 20
    assert any("y differs from the model run directly by up to 0.01" in sentence for sentence in outcome.failures)
    assert any("y has shape (1, 4)" in sentence for sentence in outcome.failures)
    assert len(outcome.milliseconds("callers-echo")) == 10


def test_a_server_that_is_away_is_a_failure_and_ends_no_caller():
    nobody = [f"127.0.0.1:{port}" for port in ports.choose(2)]
    outcome = Traffic([Load("echo", *nobody, [RIGHT], count=6, rate=100, timeout=2)], seconds=30).finish()
    assert (len(outcome.failures), outcome.unsent) == (6, 0)


def test_the_rate_is_kept_and_the_time_bounds_it(echo: PoolServer):
    started = time.monotonic()
    outcome = Traffic([asking(echo, RIGHT, count=1000, rate=50)], seconds=1.0).finish()
    assert time.monotonic() - started < 3
    assert 40 <= len(outcome.answers) <= 50
    assert outcome.unsent == 1000 - len(outcome.answers)


def test_stopping_sends_no_more(echo: PoolServer):
    with Traffic([asking(echo, RIGHT, count=10_000, rate=50)], seconds=60) as traffic:
        while traffic.answered < 3:
            time.sleep(0.01)
        traffic.stop()
        outcome = traffic.finish()
    assert 3 <= len(outcome.answers) < 200
    assert outcome.failures == ()
