"""`parkade does-it-pay`: in what share of a year's hours is a parked car the cheaper place?"""

import json
from dataclasses import asdict
from typing import get_args

import click

from parkade.plan.table import aligned
from parkade.report.year import Answer, Model, Question, State, answer
from parkade.simulate.grid import caiso_2020


class Steps(click.ParamType[tuple[float, ...]]):
    """`FROM:TO:STEP` or one number, not negative."""

    name = "FROM:TO:STEP"

    def convert(
        self, value: str | tuple[float, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """The numbers, both ends included."""
        if isinstance(value, tuple):
            return value
        try:
            first, last, step = (float(part) for part in (value.split(":") if ":" in value else (value, value, "1")))
            count = round((last - first) / step)
        except (ValueError, ZeroDivisionError, OverflowError):
            self.fail(f"{value!r} is not a range; write for example 0:3:0.25", param, ctx)
        if first < 0.0 or not 0 <= count <= 1000:
            self.fail(f"{value!r} must rise from 0 or more, in at most 1,000 steps", param, ctx)
        return tuple(round(first + step * at, 9) for at in range(count + 1))


class Plug(click.ParamType[tuple[float, bool]]):
    """$/kWh, or with a sign what comes on top of the day-ahead price."""

    name = "[+]PRICE"

    def convert(
        self, value: str | tuple[float, bool], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, bool]:
        """The number, and whether it comes on top."""
        if isinstance(value, tuple):
            return value
        try:
            return float(value), value.startswith("+")
        except ValueError:
            self.fail(f"{value!r} is not a price; write 0.31, or +0.10 for day-ahead + 0.10", param, ctx)


@click.command("does-it-pay")
@click.option("--opportunity-cost", type=Steps(), default="0:3:0.25", show_default=True, help="$ per server-hour.")
@click.option("--payout", type=Steps(), default="0:0.1:0.02", show_default=True, help="$ per compute-hour of a car.")
@click.option("--workload", "model", type=click.Choice(get_args(Model)), default="resnet50", show_default=True)
@click.option("--state", type=click.Choice(get_args(State)), default="Charging", show_default=True,
              help="What the cars would do without us.")  # fmt: skip
@click.option("--plug", type=Plug(), default="0.31", show_default=True, help="$/kWh; +0.10 is day-ahead + 0.10.")
@click.option("--carbon-price", type=click.FloatRange(min=0), default=80.0, show_default=True, help="$ per tonne.")
@click.option("--json", "as_json", is_flag=True)
def does_it_pay(  # noqa: PLR0913 -- one argument an option
    opportunity_cost: tuple[float, ...],
    payout: tuple[float, ...],
    model: Model,
    state: State,
    plug: tuple[float, bool],
    carbon_price: float,
    *,
    as_json: bool,
) -> None:
    """Compare cars at home with A100 servers in the 8,784 hours of California's day-ahead market of 2020."""
    question = Question(model, state, *plug, carbon_price)
    hours = caiso_2020()
    found = answer(question, hours, opportunity_cost, payout)
    if as_json:
        asked = {"question": asdict(question), "opportunityCost": opportunity_cost, "payout": payout}
        report = {"hours": len(hours.price), "share": found.share.round(4).tolist(), "breakEven": _break_even(found)}
        click.echo(json.dumps(asked | report))
    else:
        click.echo(_table(found, opportunity_cost, payout))


def _table(found: Answer, opportunity: tuple[float, ...], payout: tuple[float, ...]) -> str:
    """Shares of hours by opportunity cost and payout, and the break-even of each payout."""
    header = ["OPPORTUNITY COST", *(f"PAYOUT {net:g}" for net in payout)]
    rows = [
        [f"{cost:g} $/h", *(f"{100.0 * share:.1f} %" for share in shares)]
        for cost, shares in zip(opportunity, found.share.tolist(), strict=True)
    ]
    for name, values in _break_even(found).items():
        rows.append([f"break-even, {name}", *(f"{value:.2f}" for value in values)])
    return aligned(header, rows, right=range(1, len(header)))


def _break_even(found: Answer) -> dict[str, list[float]]:
    """$/server-hour by payout: the hour in which a car wins earliest, the mean, and the latest."""
    values = found.break_even
    kinds = {"least": values.min(axis=0), "mean": values.mean(axis=0), "most": values.max(axis=0)}
    return {name: kind.round(4).tolist() for name, kind in kinds.items()}
