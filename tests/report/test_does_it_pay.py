"""The year's answer against plans of single hours, against an independent formula, and against what the docs print."""

import json
import re
import shlex

import numpy as np
import pytest
from click.testing import CliRunner

from parkade.plan import plan_once
from parkade.plan.explain import leading_tier
from parkade.report.command import does_it_pay
from parkade.report.year import (
    ECONOMICS,
    METER_ADDER,
    SPEEDS,
    Question,
    answer,
    cars,
    region,
    servers,
    snapshot,
    workload,
)
from parkade.simulate.grid import caiso_2020
from parkade.solver import solve

PAYOUTS = (0.0, 0.04, 0.1)


def planned_tier(question: Question, hour: int, opportunity: float, payout: float) -> str:
    """Of one hour planned in full: framed with carbon of its own, solved and packed."""
    hours = caiso_2020()
    price = float(hours.price[hour])
    plug = question.plug + (price if question.follows_market else 0.0)
    facts = snapshot(
        workload(question.model),
        region(question.carbon_price, round(1000 * float(hours.carbon[hour]))),
        [servers("a100", price + METER_ADDER, opportunity)],
        [cars("homes", question.state, plug, payout)],
    )
    part = plan_once(facts, ECONOMICS, solve, offline=True).workload(f"mlperf/{question.model}")
    assert part is not None
    assert all(it.short < 0.001 * it.quantity for it in part.shortfalls)
    return leading_tier(part)


@pytest.mark.parametrize(
    "question",
    [
        Question(),
        Question(state="Asleep", plug=0.10, follows_market=True),
        Question(model="retinanet", state="Awake", carbon_price=200.0),
    ],
    ids=["default", "asleep-day-ahead", "retinanet-awake"],
)
def test_plans_of_single_hours_flip_where_the_year_says(question):
    hours = caiso_2020()
    found = answer(question, hours, (0.0,), PAYOUTS)
    by_price = np.argsort(hours.price)
    for hour in by_price[[50, len(by_price) // 2, -50]].tolist():
        for at, payout in enumerate(PAYOUTS):
            even = float(found.break_even[hour, at])
            if even < 0.05:
                continue
            # moving is paid by new replicas and not by running ones, and one car in 293 is a rounding: 3 %
            assert planned_tier(question, hour, even * 1.03, payout) == "Vehicle"
            assert planned_tier(question, hour, even * 0.97, payout) == "Datacenter"


@pytest.mark.parametrize("model", list(SPEEDS))
@pytest.mark.parametrize(("state", "kilowatts", "wear"), [("Charging", 0.1136, 0.0), ("Asleep", 0.3920, 0.01)])
def test_the_mean_break_even_is_what_plain_arithmetic_gives(model, state, kilowatts, wear):
    ratio = {"resnet50": 6.335, "bert": 6.328, "retinanet": 5.474}[model]
    found = answer(Question(model=model, state=state), caiso_2020(), (0.0,), PAYOUTS).break_even.mean(axis=0)
    home, meter, carbon, staying = 0.31, 0.1106, 0.2453 * 0.080, 0.94
    for even, payout in zip(found, PAYOUTS, strict=True):
        plain = ratio / staying * (kilowatts * (home + carbon) + payout + wear) - 0.3875 * (meter + carbon)
        # the product keeps 13 % of each computer free, which saves a server energy but no car; a car is away at times
        assert even == pytest.approx(plain, abs=0.025)


def run(command: str) -> str:
    result = CliRunner().invoke(does_it_pay, shlex.split(command)[2:], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_page_prints_what_the_commands_print(repository_root):
    page = (repository_root / "docs" / "does-it-pay.md").read_text()
    blocks = re.findall(r"```\n\$ (parkade does-it-pay[^\n]*)\n(.*?)```", page, re.DOTALL)
    assert len(blocks) >= 2
    for command, printed in blocks:
        assert run(command) == printed


def test_shares_rise_with_opportunity_cost_and_fall_with_payout():
    report = json.loads(run("parkade does-it-pay --json --state Asleep --plug +0.10"))
    share = np.array(report["share"])
    assert share.shape == (len(report["opportunityCost"]), len(report["payout"])) == (13, 6)
    assert (np.diff(share, axis=0) >= 0).all()
    assert (np.diff(share, axis=1) <= 0).all()
    assert share.min() < 0.01
    assert share.max() > 0.99


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--payout", "a", "is not a range; write for example 0:3:0.25"),
        ("--opportunity-cost", "3:0:0.25", "must rise from 0 or more"),
        ("--opportunity-cost", "0:3:0", "is not a range"),
        ("--plug", "cheap", "is not a price; write 0.31, or +0.10 for day-ahead + 0.10"),
    ],
)
def test_a_wrong_value_gets_a_sentence(option, value, sentence):
    result = CliRunner().invoke(does_it_pay, [option, value])
    assert result.exit_code == 2
    assert sentence in result.output
