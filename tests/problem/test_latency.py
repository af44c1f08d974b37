import heapq
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parkade.problem.latency import (
    MAX_UTILISATION,
    Path,
    Service,
    erlang_c,
    percentile_of,
    safe_utilisation,
    share_in_time,
)

REQUESTS = 60_000


def simulated_p99(
    servers: int, utilisation: float, service: Service, legs: tuple[tuple[float, float], ...] = ()
) -> float:
    """First come first served through one queue; no formula of the product is used."""
    rng = np.random.default_rng(7)
    arrivals = np.cumsum(rng.exponential(service.seconds / (servers * utilisation), REQUESTS))
    variance = np.log1p(service.scv)
    works = rng.lognormal(np.log(service.seconds) - variance / 2, np.sqrt(variance), REQUESTS)
    free = [0.0] * servers
    times = np.empty(REQUESTS)
    for index, (arrival, work) in enumerate(zip(arrivals.tolist(), works.tolist(), strict=True)):
        start = max(arrival, free[0])
        heapq.heapreplace(free, start + work)
        times[index] = start + work - arrival
    for p50, p99 in legs:
        times += rng.lognormal(np.log(p50), np.log(p99 / p50) / 2.3263, REQUESTS)
    return float(np.quantile(times[REQUESTS // 20 :], 0.99))


@pytest.mark.parametrize(
    ("servers", "utilisation", "scv", "legs"),
    [
        (4, 0.5, 0.1, ()),
        (4, 0.8, 0.25, ()),
        (8, 0.85, 0.0, ()),
        (16, 0.85, 0.1, ()),
        (16, 0.7, 1.0, ()),
        (4, 0.7, 0.1, ((0.018, 0.060),)),
        (16, 0.85, 0.25, ((0.008, 0.015), (0.045, 0.110))),
    ],
)
def test_p99_agrees_with_a_simulation_within_five_percent(servers, utilisation, scv, legs):
    service = Service(0.028, scv)
    predicted = percentile_of([(1.0, Path(service, legs), servers, utilisation)], 99, 0.1)
    assert predicted == pytest.approx(simulated_p99(servers, utilisation, service, legs), rel=0.05)


def test_percentiles_of_legs_do_not_add():
    legs = ((0.018, 0.060), (0.045, 0.110))
    together = percentile_of([(1.0, Path(Service(0.001, 0.0), legs), 64, 0.1)], 99, 0.2)
    assert 0.110 < together < 0.060 + 0.110


def test_erlang_c_against_the_sum_in_textbooks():
    load = 3.2
    terms = [1.0]
    for k in range(1, 5):
        terms.append(terms[-1] * load / k)
    last = terms[4] / (1 - load / 4)
    assert erlang_c(4, 0.8) == pytest.approx(last / (sum(terms[:4]) + last))


def test_erlang_c_is_stable_for_large_pools():
    assert 0.0 < erlang_c(5000, 0.98) < 1.0


def test_utilisation_found_meets_the_target_and_a_little_more_does_not():
    path = Path(Service(0.028, 0.1), ((0.018, 0.060),))
    rho = safe_utilisation(path, 4, 99, 0.15)
    assert 0.2 < rho < MAX_UTILISATION
    assert share_in_time(path, 4, rho, 0.15) >= 0.99 > share_in_time(path, 4, rho + 0.002, 0.15)


def test_too_slow_a_link_leaves_no_utilisation():
    assert safe_utilisation(Path(Service(0.028, 0.1), ((0.075, 0.330),)), 64, 99, 0.15) == 0.0


def test_departures_lower_the_utilisation():
    legs = ((0.018, 0.060),)
    staying = safe_utilisation(Path(Service(0.5, 0.1), legs), 4, 99.9, 1.5)
    leaving = safe_utilisation(Path(Service(0.5, 0.1), legs, departures_per_hour=2.0), 4, 99.9, 1.5)
    assert 0.0 < leaving < staying


@settings(max_examples=30, deadline=None)
@given(st.floats(0.001, 0.1), st.floats(0.0, 1.0), st.floats(0.05, 1.0), st.sampled_from((90.0, 99.0, 99.9)))
def test_more_servers_and_looser_targets_never_lower_the_utilisation(seconds, scv, target, percentile):
    path = Path(Service(seconds, scv), ((0.008, 0.015),))
    by_pool = [safe_utilisation(path, servers, percentile, target) for servers in (1, 2, 4, 16, 64)]
    assert all(smaller <= larger + 2e-3 for smaller, larger in pairwise(by_pool))
    assert by_pool[0] <= safe_utilisation(path, 1, percentile, target * 1.5) + 5e-3
