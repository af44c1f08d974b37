"""The forecast of a departure, by what it must say of cars whose habits are known."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parkade.vehicle.departures import (
    DAY,
    HORIZONS,
    LONGEST,
    MAX_STAYS,
    WEEK,
    History,
    Present,
    Stay,
    chances,
    coarse,
    prior_risk,
)

EVENING, MORNING = 18 * 60.0, 7.5 * 60.0
NIGHT = DAY - EVENING + MORNING


def commuter(days: int = 60, declared: float | None = None, spread: float = 20.0) -> History:
    """At the plug from 18:00 to 7:30 on workdays, give or take; on weekends to noon."""
    chance, history = np.random.default_rng(3), History()
    for day in range(days):
        weekday = day % 7
        late = chance.normal(0.0, spread)
        length = NIGHT + (4.5 * 60 if weekday >= 5 else 0.0) + late
        told = None if declared is None else length + chance.normal(0.0, declared)
        history.finish(Stay((weekday * DAY + EVENING + chance.normal(0, 15)) % WEEK, length, told))
    return history


def at(weekday: int, hour: float, declared: float | None = None) -> Present:
    """A car that came at 18:00 of the day before, at this hour."""
    return Present(((weekday - 1) * DAY + EVENING) % WEEK, hour * 60.0 + DAY - EVENING, declared)


def by_prior(present: Present) -> np.ndarray:
    return chances(prior_risk(present))


def test_a_new_car_has_the_curve_of_published_homes():
    evening = History().curve(Present(2 * DAY + EVENING, 30.0))
    assert np.array_equal(evening, by_prior(Present(2 * DAY + EVENING, 30.0)))
    assert 0.02 < evening[2] < 0.2
    # 18:00 on workdays: half the stays are over after 13.15 h, a quarter goes on after 16.55 h
    assert by_prior(Present(EVENING, 13.15 * 60))[2] == pytest.approx(1 - 0.5 ** (1 / 3.4), rel=1e-6)
    assert evening == pytest.approx(by_prior(Present(2 * DAY + EVENING + 59, 30.0))), "the hour counts"
    assert evening[2] != by_prior(Present(5 * DAY + EVENING, 30.0))[2], "the weekend counts"


def test_a_commuter_is_known_after_two_months():
    history = commuter()
    assert history.curve(at(2, 2.0))[2] < 0.03
    assert history.curve(at(2, 7.0))[2] > 0.6
    assert history.curve(at(2, 7.25))[0] > 0.05
    assert history.curve(at(5, 7.25))[2] > 3 * history.curve(at(6, 7.25))[2], "a workday's morning is no Sunday's"


def test_old_habits_fade():
    history = commuter(80)
    for _ in range(100):
        history.finish(Stay(EVENING, 5 * 60.0))
    assert history.curve(Present(EVENING, 4.75 * 60))[2] > 0.6


def test_a_declaration_counts_as_much_as_it_was_right():
    right, wrong = commuter(declared=10.0, spread=180.0), commuter(declared=400.0)
    assert (right.trust > 0.3).all()
    assert right.trust[2] > 1.0
    assert wrong.trust[2] < -1.0
    soon, hour = at(2, 5.0, NIGHT), at(2, 5.0, 11 * 60.0 + 20.0)  # declared for 7:30, and for 5:20
    assert right.curve(hour)[2] > 0.6 > right.curve(soon)[2]
    assert wrong.curve(hour)[2] < 0.3
    assert right.curve(at(2, 5.0))[2] < right.curve(hour)[2], "without one the stays speak alone"


def test_a_new_cars_declaration_is_half_believed():
    said = History().curve(Present(EVENING, 30.0, 60.0))
    assert History().curve(Present(EVENING, 30.0))[2] < said[2] < 0.9


@given(
    st.lists(
        st.tuples(st.floats(0, WEEK - 1), st.floats(0, 2 * LONGEST), st.none() | st.floats(-100, 5000)), max_size=30
    ),
    st.floats(0, WEEK - 1),
    st.floats(0, 2 * LONGEST),
    st.none() | st.floats(-5000, 5000),
    st.floats(0, 1, exclude_max=True),
)
def test_every_history_gives_a_curve_that_never_falls(stays, start, elapsed, declared, dither):
    history = History()
    for stay in stays:
        history.finish(Stay(*stay))
    curve = history.curve(Present(start, elapsed, declared))
    assert np.isfinite(curve).all()
    assert (curve >= 0).all()
    assert (curve <= 1).all()
    assert (np.diff(curve) >= 0).all()
    sent = coarse(curve, dither)
    assert list(sent) == sorted(sent)
    assert all(0 <= percent <= 100 and percent % 5 == 0 for percent in sent)
    assert all(abs(percent / 100 - chance) < 0.05 + 1e-9 for percent, chance in zip(sent, curve, strict=True))
    again = History()
    again.restore(json.loads(json.dumps(history.shown())))
    assert len(again.stays) == len(history.stays)
    assert again.shown() == history.shown()


def test_steps_are_right_on_average():
    for chance in (0.004, 0.03, 0.12, 0.974):
        sent = [coarse([chance], dither)[0] for dither in np.arange(0.0005, 1, 0.001)]
        assert np.mean(sent) == pytest.approx(100 * chance, abs=0.01)


def test_what_is_remembered_is_bounded_and_has_no_date():
    history = commuter(300, declared=30.0)
    assert len(history.stays) == MAX_STAYS
    assert len(json.dumps(history.shown())) < 10_000
    assert not history.finish(Stay(0.0, 0.5)), "a cable put in again"
    assert not history.finish(Stay(0.0, LONGEST + 1)), "a car that was laid up"
    assert set(history.shown()) == {"stays", "trust"}
    assert all(len(row) == 3 and row[0] < WEEK for row in history.shown()["stays"])


@pytest.mark.parametrize(
    "damaged",
    [
        {}, {"stays": 3, "trust": 7},
        {"stays": [None, [1], [0, "x", None], [0, 5, "x"], [-1, 5, None], [0, 1e9, None]]},
        {"stays": [[0, 5, None, 1]], "trust": [0, 0]}, {"trust": [0, 0, 1e9]}, {"trust": [True, True, True]},
    ],
)  # fmt: skip
def test_a_damaged_history_is_left_out(damaged):
    history = History()
    history.restore(damaged)
    assert not history.stays
    assert not history.trust.any()
    assert len(history.curve(Present(0.0, 0.0, 5.0))) == len(HORIZONS)
