from datetime import UTC, datetime

import pytest

import worlds
from parkade.api import unhonoured_fields
from parkade.problem.energy import energy_rate, plug_watts, series_mistakes, series_value
from parkade.problem.supply import car_running
from parkade.settings import Economics


@pytest.mark.parametrize(("state", "watts"), [("Charging", 113.636), ("Awake", 113.636), ("Asleep", 392.045)])
def test_marginal_watts_at_the_plug_depend_on_what_the_car_would_do(state, watts):
    # 100 W compute, 250 W awake, 5 W asleep, 88 % from plug to battery
    assert plug_watts(worlds.cars(), state) == pytest.approx(watts, abs=1e-3)


@pytest.mark.parametrize(("state", "dollars"), [("Charging", 0.0776), ("Asleep", 0.1797), ("Awake", 0.0876)])
def test_a_busy_car_costs_energy_carbon_payout_and_wear(state, dollars):
    pool = worlds.cars()
    rate = energy_rate(worlds.region(), worlds.NOW, {}, pool)
    running = car_running(pool, state, rate, Economics())
    assert running.cost.total == pytest.approx(dollars, abs=1e-4)
    assert running.cost.wear == (0.0 if state == "Charging" else 0.01)
    assert running.grams == pytest.approx(running.watts / 1000 * 260)


def test_the_pool_s_own_price_goes_before_the_region_s():
    cheap = worlds.cars(energyPrice=None)
    assert energy_rate(worlds.region(), worlds.NOW, {}, cheap).dollars == 0.11
    assert energy_rate(worlds.region(), worlds.NOW, {}, worlds.cars()).dollars == 0.31


def test_a_series_holds_its_value_until_the_next_line():
    text = "time,price\n2026-01-01T00:00:00Z,0.10\n2026-01-01T01:00:00Z,0.20\n"
    assert series_value(text, datetime(2026, 1, 1, 0, 59, tzinfo=UTC)) == 0.10
    assert series_value(text, datetime(2026, 1, 1, 1, 0, tzinfo=UTC)) == 0.20
    assert series_value(text, datetime(2025, 12, 31, tzinfo=UTC)) is None


SERIES = {"series": {"configMap": "prices", "key": "caiso.csv"}}


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ({}, "ConfigMap prices has no key caiso.csv; create it"),
        ({("prices", "caiso.csv"): "2027-01-01T00:00:00Z,0.5"}, "prices/caiso.csv has no value for now; add one"),
    ],
)
def test_a_series_without_a_value_is_told_and_takes_no_place_away(texts, sentence):
    pool, region = worlds.cars(energyPrice=SERIES), worlds.region(energyPrice=SERIES, carbonIntensity=SERIES)
    assert energy_rate(worlds.region(), worlds.NOW, texts, pool).dollars == 0.11
    rate = energy_rate(region, worlds.NOW, texts, pool)
    assert (rate.dollars, rate.grams) == (0.0, 0.0)
    (said,) = series_mistakes(pool, worlds.NOW, texts)
    assert said.startswith(f"VehicleNodePool ca-home-hw4: spec.energyPrice.series: {sentence}")
    assert len(list(series_mistakes(region, worlds.NOW, texts))) == 2


def test_a_pool_s_own_series_is_its_price():
    texts = {("prices", "caiso.csv"): "2026-01-01T00:00:00Z,0.5"}
    for pool in (worlds.cars(energyPrice=SERIES), worlds.servers(energyPrice=SERIES)):
        assert energy_rate(worlds.region(), worlds.NOW, texts, pool).dollars == 0.5
        assert list(series_mistakes(pool, worlds.NOW, texts)) == []
        assert unhonoured_fields(pool) == ()
