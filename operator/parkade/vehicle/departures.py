"""When the car will leave its plug, from its own past stays: only a coarse curve of three numbers leaves the car.

Two forecasts are pooled. `own_curve` looks at past stays that began at a like time of the day, and is drawn towards a
prior of published home charging, so that a new car has a sane curve. `declared_curve` looks at how late or early the
car left when its driver had declared a departure. `History.trust` is how much more the second was right than the first.
Times are minutes; a stay is what lies between two departures at the plug, announced ones included. Pure.
"""

import csv
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Final, TypeGuard

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Curve = Floats
"""[3], the probabilities of leaving within each of `HORIZONS`; it never falls."""

HORIZONS: Final = (5.0, 15.0, 60.0)
"""Minutes, as in `VehicleCell.status.supply[].leaving`."""
BINS: Final = np.array((0.0, 5.0, 15.0, 30.0, 45.0, 60.0))
"""Minutes from now, between which the hazard of leaving is taken as constant."""
AT_HORIZONS: Final = [0, 1, 4]
"""Bins that end at a horizon."""
STEP: Final = 5
"""Percent: the carried curve is a multiple of it."""
DAY: Final = 1440.0
WEEK: Final = 7 * DAY
MAX_STAYS: Final = 200
"""About half a year of a car that is plugged in daily."""
SHORTEST: Final = 1.0
"""Minutes; what is shorter is a cable put in again, and no stay."""
LONGEST: Final = 7 * DAY

ARRIVAL: Final = 120.0
"""Minutes: bandwidth of the Gaussian kernel over the time of day at which a stay began."""
OTHER_DAYS: Final = 0.15
"""Weight of a stay of the other class of days (workdays, weekend)."""
HALF_LIFE: Final = 100.0
"""Stays after which an old one counts half."""
PRIOR_STAYS: Final = 0.7
"""Stays that the prior counts for."""
SMOOTH: Final = 30.0
"""Minutes: departures are counted in a window of at least this about a bin, or five would hold none or one."""
_WINDOWS: Final = (
    np.minimum(BINS[:-1], (BINS[:-1] + BINS[1:] - SMOOTH) / 2.0),
    np.maximum(BINS[1:], (BINS[:-1] + BINS[1:] + SMOOTH) / 2.0),
)

PRIOR_ERRORS: Final = ((1.0, 0.0, 30.0), (0.5, 0.0, 120.0))
"""Weight, mean and scale of the logistic laws of a declaration's error before any is known: an assumption."""
ERROR_SCALE: Final = 8.0
"""Minutes: how far beside a past error the next may lie."""
TRUST_FADES: Final = 0.97
"""By stay: habits of declaring change."""
MOST_TRUST: Final = 4.0
"""Bound of the logarithm of the odds, 98 %: neither forecast is ever ruled out."""
EVIDENCE: Final = 0.1
"""What a look at a past stay counts for, as those of one stay are not independent."""
SCORED_EVERY: Final = 30.0
"""Minutes between the looks at a stay by which the declaration is judged."""
_LEAST: Final = 0.01
"""Probabilities within this of 0 and 1 score alike: one surprise is no proof."""


@dataclass(frozen=True, slots=True)
class Stay:
    """One past stay at the plug."""

    start: float
    """Minutes after Monday 0:00, local time."""
    minutes: float
    declared: float | None = None
    """Minutes after the start at which the driver had first said that the car would leave."""


@dataclass(frozen=True, slots=True)
class Present:
    """The stay that goes on."""

    start: float
    """Minutes after Monday 0:00, local time."""
    elapsed: float
    declared: float | None = None
    """Minutes after the start."""


@cache
def _home() -> tuple[Floats, Floats]:
    """[2, 24, 6] dwell in minutes at the knots, by weekend and hour of plug-in, and [6] cumulative hazard there."""
    knots = np.zeros((2, 24, 6))
    text = (resources.files("parkade.vehicle") / "data" / "home-dwell.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        values = [float(row[f"dwell_hours_p{percent}"]) * 60.0 for percent in (5, 25, 50, 75, 95)]
        knots[int(row["weekend"]), int(row["plug_in_hour"]), 1:] = values
    return knots, -np.log1p(-np.array([0.0, 0.05, 0.25, 0.5, 0.75, 0.95]))


def prior_risk(present: Present) -> Floats:
    """Return the cumulative hazard in each of `BINS` by published base rates of home charging.

    By weekend and hour of plug-in; between the quantiles of dwell the hazard of leaving is constant (piecewise
    exponential survival), after the last as before it. Source: Sorensen et al., Data in Brief 2024,
    doi 10.1016/j.dib.2024.110883 (Norwegian apartment buildings).
    """
    knots, hazards = _home()
    start = present.start % WEEK
    at = knots[int(start >= 5 * DAY), int(start % DAY // 60)]
    times = present.elapsed + BINS
    beyond = np.maximum(times - at[-1], 0.0) * (hazards[-1] - hazards[-2]) / (at[-1] - at[-2])
    risk: Floats = np.diff(np.interp(times, at, hazards) + beyond)
    return risk


def chances(risk: Floats) -> Curve:
    """Return the chances of leaving within `HORIZONS` under a cumulative hazard in each of `BINS`."""
    curve: Curve = -np.expm1(-np.cumsum(risk)[AT_HORIZONS])
    return curve


@dataclass(frozen=True)
class Columns:
    """The stays as columns, the newest last."""

    start: Floats
    """Minutes after Monday 0:00."""
    minutes: Floats
    late: Floats
    """Minutes after the declared departure; nan where none was declared."""
    fade: Floats
    """Weight by recency, 1 for the newest."""
    weekend: NDArray[np.bool_]


def own_curve(stays: Columns, present: Present) -> Curve:
    """Chances by past stays: a discrete-time hazard weighted by kernels, drawn towards the prior.

    In each of `BINS`, with E the weighted departures and T the weighted minutes at risk in a window of L minutes about
    it, the hazard is

        rate = (E + k L r0) / (T + k L),

    where r0 is the prior's and k = `PRIOR_STAYS`: the mean of a Gamma-Poisson posterior (Gelman et al., Bayesian Data
    Analysis, 2.6). With weights of a kernel over a covariate, and without a prior, it is the discrete-time form of the
    conditional product-limit estimator of Beran (1981). Weights: like time of day at arrival, like class of day,
    recency. A past stay is compared at the same time of day and at the same dwell, half each: some leave when work
    ends, some when the battery is full.
    """
    prior = prior_risk(present)
    if not stays.start.size:
        return chances(prior)
    apart = (present.start - stays.start + DAY / 2) % DAY - DAY / 2
    weekend = present.start % WEEK >= 5 * DAY
    weight = stays.fade * np.where(stays.weekend == weekend, 1.0, OTHER_DAYS) * np.exp(-0.5 * (apart / ARRIVAL) ** 2)
    elapsed = np.stack([present.elapsed + apart, np.full_like(apart, present.elapsed)])
    first = np.maximum(elapsed + _WINDOWS[0][:, None, None], 0.0)
    last = np.maximum(elapsed + _WINDOWS[1][:, None, None], first)
    risk = np.clip(stays.minutes, first, last) - first
    left = (stays.minutes > first) & (stays.minutes <= last)
    events = 0.5 * (weight * left).sum(axis=(1, 2))
    minutes = 0.5 * (weight * risk).sum(axis=(1, 2))
    lengths = np.diff(BINS)
    known = PRIOR_STAYS * (_WINDOWS[1] - _WINDOWS[0])
    return chances((events + known * prior / lengths) / (minutes + known) * lengths)


def declared_curve(stays: Columns, past: float) -> Curve:
    """Chances by how long a declared departure is past, negative before it, and the errors of past declarations.

    An error e is minutes after the declared moment. With S(x) the share of errors above x, each past one smoothed by a
    logistic law and `PRIOR_ERRORS` as further ones, a car that is x minutes past its declared departure leaves within
    h minutes with the chance 1 - S(x + h) / S(x).
    """
    known = ~np.isnan(stays.late)
    weight = np.concatenate([stays.fade[known], [law[0] for law in PRIOR_ERRORS]])
    mean = np.concatenate([stays.late[known], [law[1] for law in PRIOR_ERRORS]])
    scale = np.concatenate([np.full(known.sum(), ERROR_SCALE), [law[2] for law in PRIOR_ERRORS]])
    times = past + np.array((0.0, *HORIZONS))
    beyond = np.clip((times[:, None] - mean) / scale, -40.0, 40.0)
    staying = (weight / (1.0 + np.exp(beyond))).sum(axis=1)
    curve: Curve = 1.0 - staying[1:] / staying[0]
    return curve


@dataclass
class History:
    """The car's last stays, and how far its declared departures can be believed."""

    stays: deque[Stay] = field(default_factory=lambda: deque(maxlen=MAX_STAYS))
    trust: Floats = field(default_factory=lambda: np.zeros(len(HORIZONS)))
    """By horizon, logarithm of the odds that a declared departure says more than the past stays."""
    _columns: Columns | None = None

    def curve(self, present: Present) -> Curve:
        """Return the chances of leaving within `HORIZONS`: a linear pool of both forecasts."""
        columns = self.columns()
        own = own_curve(columns, present)
        if present.declared is None:
            return own
        weight = 1.0 / (1.0 + np.exp(-self.trust))
        pooled: Curve = weight * declared_curve(columns, present.elapsed - present.declared) + (1.0 - weight) * own
        return np.maximum.accumulate(pooled)

    def finish(self, stay: Stay) -> bool:
        """Take a stay that has ended; whether it counts."""
        if not SHORTEST <= stay.minutes <= LONGEST:
            return False
        if stay.declared is not None:
            learned = TRUST_FADES * self.trust + self._evidence(stay, stay.declared)
            self.trust = np.clip(learned, -MOST_TRUST, MOST_TRUST)
        self.stays.append(stay)
        self._columns = None
        return True

    def _evidence(self, stay: Stay, declared: float) -> Floats:
        """Return how much likelier the declaration made what happened: a difference of logarithmic scores.

        Weighing experts by their past logarithmic scores is Bayesian model averaging (Hoeting et al., Statistical
        Science 14, 1999).
        """
        columns, found = self.columns(), []
        for elapsed in np.arange(0.0, min(stay.minutes, DAY), SCORED_EVERY):
            left = np.array([elapsed + within >= stay.minutes for within in HORIZONS])
            told = declared_curve(columns, float(elapsed) - declared)
            own = own_curve(columns, Present(stay.start, float(elapsed)))
            found.append(log_score(told, left) - log_score(own, left))
        evidence: Floats = EVIDENCE * np.sum(found, axis=0)
        return evidence

    def columns(self) -> Columns:
        """Return the stays as columns; the same until another ends."""
        if self._columns is None:
            count = len(self.stays)
            late = [np.nan if it.declared is None else it.minutes - it.declared for it in self.stays]
            start = np.array([it.start for it in self.stays])
            self._columns = Columns(
                start,
                np.array([it.minutes for it in self.stays]),
                np.array(late, dtype=float),
                0.5 ** (np.arange(count - 1, -1, -1) / HALF_LIFE),
                start >= 5 * DAY,
            )
        return self._columns

    def shown(self) -> dict[str, Any]:
        """Return it for a file: whole minutes, no dates."""
        rows = [
            [round(it.start) % int(WEEK), round(it.minutes, 1), None if it.declared is None else round(it.declared)]
            for it in self.stays
        ]
        return {"stays": rows, "trust": [round(float(odds), 3) for odds in self.trust]}

    def restore(self, held: Mapping[str, Any]) -> None:
        """Go on from what `shown` gave; what is none is left out."""
        rows = held.get("stays")
        for row in rows if isinstance(rows, list) else ():
            stay = _stay(row)
            if stay is not None:
                self.stays.append(stay)
        trust = held.get("trust")
        odds = trust if isinstance(trust, list) and len(trust) == len(HORIZONS) else []
        if odds and all(_number(each, -MOST_TRUST, MOST_TRUST) for each in odds):
            self.trust = np.array(odds, dtype=float)
        self._columns = None


def log_score(curve: Curve, left: NDArray[np.bool_]) -> Floats:
    """Logarithm of the probability that was given to what happened."""
    likely = np.clip(curve, _LEAST, 1.0 - _LEAST)
    return np.log(np.where(left, likely, 1.0 - likely))


def coarse(curve: Iterable[float], dither: float) -> tuple[int, ...]:
    """Return the curve in steps of `STEP` percent, as it may leave the car.

    Args:
        curve: probabilities.
        dither: from 0 to 1, drawn once for a stay: p lies between two steps and takes the upper one if the draw says
            so. One car tells no more than its step, and the mean over many cars has no error of rounding (dithered
            quantisation: Schuchman, IEEE Trans. Communication Technology 12, 1964).
    """
    return tuple(min(100, STEP * int(100.0 * chance / STEP + dither)) for chance in curve)


def _stay(row: object) -> Stay | None:
    if not isinstance(row, list) or len(row) != 3:
        return None
    start, minutes, declared = row
    known = declared is None or _number(declared, -LONGEST, 30 * DAY)
    if known and _number(start, 0, WEEK) and _number(minutes, SHORTEST, LONGEST):
        return Stay(float(start), float(minutes), None if declared is None else float(declared))
    return None


def _number(value: object, low: float, high: float) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
