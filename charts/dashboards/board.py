"""What a dashboard is, before it is Grafana's: rows of panels, each a few queries with a unit and a sentence."""

from dataclasses import dataclass
from typing import Literal

Unit = Literal[
    "short", "percentunit", "reqps", "s", "watt", "kwatth", "joule", "bytes", "Bps", "cps", "massg", "currencyUSD",
    "dtdurations",
]  # fmt: skip
"""Names of units as Grafana knows them."""


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression; `legend` names its lines by labels in double braces."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One panel."""

    title: str
    says: str
    """One or two sentences: what it shows, in which unit, and what to make of it."""
    unit: Unit
    queries: tuple[Query, ...]
    kind: Literal["lines", "stacked", "number"] = "lines"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable that the reader chooses; all of them at first."""

    name: str
    query: str


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    name: str
    """Of its file and, after `parkade-`, its uid."""
    title: str
    says: str
    choices: tuple[Choice, ...]
    rows: tuple[Row, ...]


WORKLOAD = Choice("workload", "label_values(parkade_replicas, workload)")
TIER = Choice("tier", "label_values(parkade_replicas, tier)")
POOL = Choice("pool", "label_values(parkade_pool_energy_price_dollars_per_kwh, pool)")


def number(title: str, says: str, unit: Unit, expr: str) -> Chart:
    """One figure as it is now."""
    return Chart(title, says, unit, (Query(expr, title),), "number")


def lines(title: str, says: str, unit: Unit, *queries: tuple[str, str]) -> Chart:
    """Lines over time, from pairs of expression and legend."""
    return Chart(title, says, unit, tuple(Query(*pair) for pair in queries))


def stacked(title: str, says: str, unit: Unit, expr: str, legend: str) -> Chart:
    """Areas on top of each other: parts of a whole."""
    return Chart(title, says, unit, (Query(expr, legend),), "stacked")


def quantile(share: float, buckets: str, by: str = "le", over: str = "$__rate_interval") -> str:
    """What so large a share of a histogram's observations does not exceed.

    Args:
        share: from 0 to 1.
        buckets: metric of the histogram's buckets, with a choice of labels.
        by: labels that are kept apart.
        over: time that counts.
    """
    return f"histogram_quantile({share}, sum by ({by}) (rate({buckets}[{over}])))"


def middle_and_slowest(buckets: str, by: str = "le", legend: str = "") -> tuple[tuple[str, str], tuple[str, str]]:
    """Two lines of a histogram: its median, and what only one in a hundred exceeds."""
    return (quantile(0.5, buckets, by), f"{legend}median"), (quantile(0.99, buckets, by), f"{legend}99 %")
