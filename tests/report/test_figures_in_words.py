"""What docs/does-it-pay.md says in sentences is what its formulas give."""

import re

import numpy as np
import pytest

from parkade.report.year import CAR_WATTS, METER_ADDER, SPEEDS, Question, answer
from parkade.simulate.grid import caiso_2020

HOURS_A_MONTH = 365.25 * 24 / 12
PUE, IDLE_WATTS, MAX_WATTS = 1.25, 90, 400
CHARGING_SHARE = 0.054
"""Of home cars' time; mean of the published home profile."""


@pytest.fixture(scope="module")
def page(repository_root):
    return (repository_root / "docs" / "does-it-pay.md").read_text()


def row(page, begins):
    (found,) = (line for line in page.splitlines() if line.startswith(f"| {begins}"))
    return found.split("|")[2]


def figures(text, unit):
    return [float(number) for number in re.findall(rf"(\d+\.?\d*) {re.escape(unit)}", text)]


def kilowatts():
    """At the meter and at the plug while busy: server, charging car, woken car."""
    compute, awake, asleep = (CAR_WATTS[name] for name in ("computeWatts", "awakeWatts", "asleepWatts"))
    plug = CAR_WATTS["chargingPercent"] / 100
    watts = ((MAX_WATTS - IDLE_WATTS) * PUE, compute / plug, (compute + awake - asleep) / plug)
    return np.array(watts) / 1000


def hours_of_a_million():
    speed = SPEEDS["resnet50"]
    return 1e6 / 3600 / np.array([speed.server, speed.car, speed.car])


def test_money_and_energy_of_a_million_requests(page):
    hours = caiso_2020()
    carbon = float(hours.carbon.mean()) * 0.080
    price = np.array([float(hours.price.mean()) + METER_ADDER, 0.31, 0.31]) + carbon
    money = hours_of_a_million() * (np.array([1.0, 0.04, 0.04]) + kilowatts() * price)
    assert figures(row(page, "a million ResNet-50 requests"), "$") == pytest.approx(money, abs=6e-5)
    energy = 1000 * hours_of_a_million() * kilowatts()
    assert figures(row(page, "energy of a million"), "Wh") == pytest.approx(energy, abs=0.06)


def test_an_owners_month_and_range(page, repository_root):
    all_day, charging = 0.04 * HOURS_A_MONTH * 10 / 24, 0.04 * HOURS_A_MONTH * CHARGING_SHARE
    assert figures(row(page, "an owner's month"), "$") == pytest.approx([all_day, charging], abs=0.06)
    compute, awake, asleep = (CAR_WATTS[name] for name in ("computeWatts", "awakeWatts", "asleepWatts"))
    lost = [watts * 10 / 140 for watts in (compute, compute + awake - asleep)]
    assert figures(row(page, "range of ten hours"), "km") == pytest.approx(lost, abs=0.06)
    owner = (repository_root / "docs" / "howto" / "car-owner.md").read_text()
    assert sorted(re.findall(r"about\s+(\d+) km", owner)) == sorted(f"{km:.0f}" for km in lost)


def test_bytes_cost_more_than_computing(page):
    assert figures(row(page, "a million requests of 30 kB"), "$") == [pytest.approx(1e6 * 30e3 / 1e9 * 0.02)]


@pytest.mark.parametrize(("state", "at"), [("Charging", 0), ("Asleep", 1)])
def test_plain_arithmetic_and_the_product_give_what_the_page_compares(page, state, at):
    paragraph = re.sub(r"\s+", " ", page[page.index("**Against plain arithmetic.**") :])
    plain = re.search(r"gives ([\d., and]+) \$/h \(Charging, payout 0, 0.04, 0.10\) and ([\d., and]+) \$/h", paragraph)
    product = re.search(r"The product says ([\d., and]+), and ([\d., and]+) \$/h", paragraph)
    assert plain is not None
    assert product is not None
    payouts = (0.0, 0.04, 0.1)
    hours = caiso_2020()
    carbon = float(hours.carbon.mean()) * 0.080
    ratio = SPEEDS["resnet50"].server / SPEEDS["resnet50"].car
    server, *cars = kilowatts()
    meter = float(hours.price.mean()) + METER_ADDER + carbon
    even = [ratio * (cars[at] * (0.31 + carbon) + payout) - server * meter for payout in payouts]
    assert [float(number) for number in re.findall(r"\d\.\d+", plain[at + 1])] == pytest.approx(even, abs=0.006)
    found = answer(Question(state=state), hours, (0.0,), payouts).break_even.mean(axis=0)
    in_short = re.search(r"worth more than (\d\.\d+) \$.*?above (\d\.\d+) \$", page, re.DOTALL)
    assert in_short is not None
    assert float(in_short[at + 1]) == pytest.approx(found[1], abs=0.006)
    assert [float(number) for number in re.findall(r"\d\.\d+", product[at + 1])] == pytest.approx(found, abs=0.006)
