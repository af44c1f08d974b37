"""The hours that the package ships are the year 2020, whole and in order."""

import numpy as np

from parkade.simulate.grid import caiso_2020


def test_the_hours_are_a_whole_leap_year():
    hours = caiso_2020()
    assert len(hours.hour_ending) == len(hours.price) == len(hours.carbon) == 8784
    assert hours.hour_ending[0] == np.datetime64("2020-01-01T01:00")
    assert np.array_equal(np.diff(hours.hour_ending), np.full(8783, np.timedelta64(60, "m")))


def test_the_august_heat_wave_and_the_spring_noons_are_where_they_were():
    hours = caiso_2020()
    assert hours.hour_ending[hours.price.argmax()].astype("datetime64[D]") == np.datetime64("2020-08-18")
    assert hours.price.min() < 0.0
    assert np.isclose(hours.carbon.mean(), 0.2453, atol=1e-4)


def test_carbon_and_price_share_one_clock():
    # the sun takes both down at noon; a clock that is an hour off fits worse
    hours = caiso_2020()
    price = hours.price.argsort().argsort()
    fit = {
        shift: np.corrcoef(price, np.roll(hours.carbon, shift).argsort().argsort())[0, 1] for shift in (-2, -1, 0, 1, 2)
    }
    assert max(fit, key=fit.get) == 0
