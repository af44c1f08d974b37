"""Serving demands one after another, each from its cheapest places; policies differ in the places they allow."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.solver.answers import Counts, Floats
from benchmarks.solver.filling import Filling
from parkade.problem.arrays import ProblemArrays


def by_value(problem: ProblemArrays) -> Counts:
    """Demands, the dearest shortfall first: what is scarce goes to whom its lack costs most."""
    worth = problem.demands_covers_quantity * problem.demands_covers_short_cost
    demand = np.repeat(
        np.arange(len(problem.demands_covers_offsets) - 1), np.diff(problem.demands_covers_offsets.astype(np.int64))
    )
    total = np.bincount(demand, worth, minlength=len(problem.demands_covers_offsets) - 1)
    return np.argsort(-total, kind="stable")


def serve(filling: Filling, demand: int, allowed: NDArray[np.bool_] | None = None) -> None:
    """Add the cheapest replicas for their worth until all is covered or the rest is dearer than the shortfall.

    `allowed` is per supply.
    """
    arcs = filling.arcs(demand)
    outside = None if allowed is None else ~allowed[filling.problem.arcs_supply[arcs]]
    while (missing := filling.missing(demand)).any():
        ratio = filling.cost_per_gain(demand, missing)
        if outside is not None:
            ratio[outside] = np.inf
        if not ratio.size or ratio.min() >= 1.0:
            return
        arc = arcs.start + int(np.argmin(ratio))
        filling.place(arc, filling.alike(arc, missing))


def round_and_fill(problem: ProblemArrays, flow: Floats) -> Counts:
    """Whole replicas from fractional ones: each rounded down, as far as it fits, and the rest by `serve`."""
    filling = Filling(problem)
    whole = np.floor(flow + 1e-6).astype(np.int64)
    for arc in np.flatnonzero(whole > 0):
        count = min(int(whole[arc]), filling.most(int(arc)))
        if count > 0:
            filling.place(int(arc), count)
    for demand in by_value(problem):
        serve(filling, int(demand))
    return filling.replicas
