"""How long a car waits between tries, and that it waits as long as it is asked to."""

import asyncio
import random
import ssl
from collections import Counter

import pytest
from nats import errors

from parkade.vehicle import running
from parkade.vehicle.backoff import LONGEST_ASKED, Backoff, retry_after
from parkade.vehicle.enrolment import FleetUnavailable
from parkade.vehicle.link import CROWDED_WAIT, FIRST_WAIT, LONGEST_WAIT, _crowded, _pause
from parkade.vehicle.running import _enrolled


def test_the_bound_doubles_up_to_the_longest_and_begins_anew():
    backoff = Backoff(1.0, 8.0)
    for bound in (1.0, 2.0, 4.0, 8.0, 8.0):
        assert 0 <= backoff.pause() <= bound
    backoff.reset()
    assert backoff.pause() <= 1.0


def test_a_fleet_comes_back_evenly_over_the_whole_bound():
    random.seed(7)
    cars = 4000
    fourth = [[backoff.pause() for _ in range(4)][-1] for backoff in (Backoff(1.0, 60.0) for _ in range(cars))]
    seconds = Counter(int(pause) for pause in fourth)
    assert set(seconds) == set(range(8))
    assert max(seconds.values()) < 1.25 * cars / 8


def test_a_longest_for_now_holds_for_now():
    backoff = Backoff(1.0, 10.0)
    for _ in range(10):
        assert backoff.pause(longest=60.0) <= 60.0
    assert backoff.pause() <= 10.0
    assert backoff.pause(asked=500.0) == 500.0


def test_a_peer_that_cannot_help_at_once_is_left_alone_for_half_the_bound():
    backoff = Backoff(1.0, 4.0)
    for bound in (1.0, 2.0, 4.0, 4.0):
        assert bound / 2 <= backoff.rest() <= bound
    assert 32.0 <= backoff.rest(asked=30.0) <= 34.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("-1", 0.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("9" * 30, LONGEST_ASKED),
        (None, 0.0),
    ],
)
def test_retry_after_is_taken_in_seconds_and_never_for_ever(text, seconds):
    assert retry_after({} if text is None else {"retry-after": text}) == seconds


def test_the_link_is_more_patient_with_a_crowd_than_with_nobody():
    for failure in (errors.TimeoutError(), ssl.SSLError("not TLS"), ConnectionResetError()):
        assert _crowded(failure)
    for failure in (None, ConnectionRefusedError(), OSError(101, "unreachable"), errors.AuthorizationError()):
        assert not _crowded(failure)
    pauses = {}
    for failure in (ConnectionRefusedError(), ConnectionResetError()):
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        pauses[type(failure)] = [_pause(backoff, failure) for _ in range(200)]
    assert max(pauses[ConnectionRefusedError]) <= LONGEST_WAIT < max(pauses[ConnectionResetError]) <= CROWDED_WAIT
    assert _pause(Backoff(FIRST_WAIT, LONGEST_WAIT), FleetUnavailable("later", 77.0)) == 77.0


def test_a_car_that_is_told_to_come_back_enrols_then_and_stops_when_it_is_told(monkeypatch):
    tries = []

    def enrolment(_: object) -> str:
        tries.append(1)
        if len(tries) == 1:
            raise FleetUnavailable("too many cars ask at once", 0.2)
        return "enrolled"

    monkeypatch.setattr(running, "_enrolment", enrolment)
    monkeypatch.setattr(running, "ENROL_WAITS", (0.01, 0.02))

    async def enrols(*, asked_to_stop: bool) -> object:
        stop = asyncio.Event()
        if asked_to_stop:
            stop.set()
        return await _enrolled(None, stop)

    assert asyncio.run(enrols(asked_to_stop=False)) == "enrolled"
    assert len(tries) == 2
    tries.clear()
    assert asyncio.run(enrols(asked_to_stop=True)) is None
    assert len(tries) == 1
