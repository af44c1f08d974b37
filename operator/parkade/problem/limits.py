"""Limits over arcs of all workloads: the churn budget, and what packing found too much."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from parkade.problem.arcs import Way
from parkade.problem.format import Limit
from parkade.settings import Economics

LEAST_CHURN: Final = 10
"""New replicas that are always allowed: of a few dozen replicas 20 % would freeze every plan."""

Caps = Mapping[tuple[int, int], int]
"""Most replicas of (workload, place), by index."""


def churn_limit(found: Sequence[Way], running: Mapping[int, int], missing: int, economics: Economics) -> Limit | None:
    """New replicas of workloads that run already, within one plan: `churn_percent` of what runs, and what is missing.

    First placements are free, and replicas that replace lost ones are not churn.

    Args:
        found: all arcs.
        running: replicas by workload index.
        missing: replicas that running workloads lack.
        economics: `churn_percent`.
    """
    terms = tuple((index, 1.0) for index, way in enumerate(found) if not way.kept and running.get(way.workload, 0) > 0)
    if not terms:
        return None
    budget = math.ceil(economics.churn_percent / 100.0 * sum(running.values()))
    return Limit("churn", float(max(LEAST_CHURN, budget) + missing), terms)


def packed_limits(found: Sequence[Way], caps: Caps) -> list[Limit]:
    """What fits no real car or server is not planned again."""
    limits = []
    for (workload, place), most in sorted(caps.items()):
        terms = tuple((index, 1.0) for index, way in enumerate(found) if (way.workload, way.place) == (workload, place))
        limits.append(Limit(f"packed/{workload}/{place}", float(most), terms))
    return limits
