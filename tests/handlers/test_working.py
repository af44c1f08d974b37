import threading

import pytest

from parkade.cycle import Job
from parkade.errors import ModelRejected, TritonUnavailable
from parkade.handlers.working import FIRST_BACKOFF, Works


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Ended:
    """Counts what has ended, and lets a test await it."""

    def __init__(self):
        self.causes = []
        self._changed = threading.Condition()

    def __call__(self, cause):
        with self._changed:
            self.causes.append(cause)
            self._changed.notify_all()

    def wait(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.causes) >= count, 10)


@pytest.fixture
def bench():
    ended, clock = Ended(), Clock()
    works = Works(ended, clock)
    yield works, ended, clock
    works.close()


def job(run=lambda: None, key="load x", lane="server", deadline=10.0):
    return Job(key, lane, run, deadline, "triton")


def reject():
    raise ModelRejected("bad graph")


def test_a_job_runs_and_wakes_the_cycle(bench):
    works, ended, _ = bench
    ran = []
    assert works.start(job(lambda: ran.append(1)))
    ended.wait(1)
    assert (ran, ended.causes) == ([1], ["triton"])


def test_a_lane_takes_one_job_at_a_time(bench):
    works, ended, _ = bench
    go_on = threading.Event()
    assert works.start(job(go_on.wait))
    assert not works.start(job(key="load y"))
    assert works.start(job(key="load y", lane="another server"))
    go_on.set()
    ended.wait(2)
    assert works.start(job(key="load y"))


def test_a_job_past_its_deadline_gives_its_lane_away(bench):
    works, ended, clock = bench
    go_on = threading.Event()
    works.start(job(go_on.wait, deadline=10.0))
    clock.now = 10.0
    assert works.start(job(key="load y"))
    go_on.set()
    ended.wait(2)


def test_a_failure_backs_off_twice_as_long_each_time_and_is_told(bench):
    works, ended, clock = bench
    for times, pause in enumerate((FIRST_BACKOFF, 2 * FIRST_BACKOFF, 4 * FIRST_BACKOFF)):
        assert works.start(job(reject)), times
        ended.wait(times + 1)
        assert works.failure("load x") == "bad graph"
        clock.now += pause * 0.99
        assert not works.start(job(reject))
        clock.now += pause * 0.02


def test_a_refused_model_is_told_from_a_server_that_is_away(bench):
    works, ended, _ = bench

    def away():
        raise TritonUnavailable("no answer")

    works.start(job(reject))
    works.start(job(away, key="load y", lane="another server"))
    ended.wait(2)
    assert (works.rejected("load x"), works.rejected("load y"), works.rejected("load z")) == (True, False, False)
    assert works.failure("load y") == "no answer"


def test_another_key_does_not_wait_for_a_failed_one(bench):
    works, ended, _ = bench
    works.start(job(reject))
    ended.wait(1)
    assert works.start(job(key="load another version"))


def test_success_forgets_failures(bench):
    works, ended, clock = bench
    works.start(job(reject))
    ended.wait(1)
    clock.now += FIRST_BACKOFF
    works.start(job())
    ended.wait(2)
    assert works.failure("load x") == ""
