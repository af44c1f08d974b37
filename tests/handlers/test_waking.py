import threading

import pytest

from parkade.handlers.waking import Wake


class Clock:
    """Time that passes only by waiting: `wait` of the condition moves it on."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_without_events_it_returns_after_the_timeout():
    woken = Wake(quiet=0.01, longest=0.05).wait(0.02)
    assert (woken.causes, woken.since) == ((), None)


def test_many_events_are_one_wake_up_with_all_causes_and_the_first_time():
    clock = Clock()
    wake = Wake(quiet=0.5, longest=5.0, clock=clock)
    for clock.now, cause in ((1.0, "pods"), (1.2, "regions"), (1.4, "pods")):
        wake.call(cause)
    clock.now = 1.9
    woken = wake.wait(10.0)
    assert (woken.causes, woken.since) == (("pods", "regions"), 1.0)
    assert wake.wait(0.0).causes == ()


@pytest.mark.parametrize(("last", "due"), [(1.0, 1.5), (4.0, 4.5), (5.9, 6.0)])
def test_it_waits_for_quiet_but_never_longer_than_the_longest(last, due):
    clock = Clock()
    wake = Wake(quiet=0.5, longest=5.0, clock=clock)
    for clock.now in (1.0, last):
        wake.call("pods")
    assert wake.due() == pytest.approx(due)


def test_a_call_from_another_thread_wakes_a_waiter():
    wake = Wake(quiet=0.01, longest=0.05)
    threading.Timer(0.05, wake.call, ["pods"]).start()
    assert wake.wait(30.0).causes == ("pods",)
