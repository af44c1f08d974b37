import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parkade.problem.latency import MAX_UTILISATION, Path, Service
from parkade.problem.utilisation import MOST_TRIPS, POOLS, Ask, at_size, coarsened, in_smallest_pool, utilisations
from problem.queueing import safe_utilisation, simulated_p99

HOME, LINK, FAR = (0.008, 0.015), (0.018, 0.060), (0.075, 0.330)


def one(ask: Ask, trip=HOME) -> np.ndarray:
    return utilisations((ask,), (trip,))[0, 0]


@pytest.mark.slow
def test_all_classes_at_once_agree_with_each_path_alone():
    rng = np.random.default_rng(1)
    asks = tuple(
        Ask(
            Service(float(rng.choice((0.002, 0.012, 0.03, 0.2))), float(rng.choice((0.1, 0.5, 1.0, 2.0)))),
            int(rng.choice((90, 95, 99))),
            float(rng.choice((0.1, 0.2, 0.5, 2.0))),
            ((), (LINK,), (FAR,))[rng.integers(3)],
            float(rng.choice((0.0, 0.066, 2.0))),
        )
        for _ in range(12)
    )
    table = utilisations(asks, (HOME, FAR))
    for row, ask in enumerate(asks):
        for column, trip in enumerate((HOME, FAR)):
            path = Path(ask.service, (trip, *ask.legs), ask.departures_per_hour)
            for pool in (0, 3, 8, 12):
                alone = safe_utilisation(path, POOLS[pool], ask.percentile, ask.target)
                assert table[row, column, pool] == pytest.approx(alone, abs=0.006), (ask, trip, POOLS[pool])


@pytest.mark.parametrize(("servers", "scv", "target"), [(4, 0.1, 0.12), (16, 1.0, 0.16), (8, 0.25, 0.09)])
def test_a_queue_at_the_utilisation_found_is_in_time(servers, scv, target):
    service = Service(0.028, scv)
    rho = one(Ask(service, 99, target))[POOLS.index(servers)]
    assert 0.3 < rho < MAX_UTILISATION
    # rates are planned 4 % below what the table allows
    assert simulated_p99(servers, rho / 1.04, service, (HOME,)) <= target
    assert simulated_p99(servers, min(rho * 1.15, 0.98), service, (HOME,)) > target


def test_too_slow_a_link_leaves_no_utilisation():
    assert not one(Ask(Service(0.028, 0.1), 99, 0.15, (FAR,))).any()


def test_departures_lower_the_utilisation():
    staying = one(Ask(Service(0.5, 0.1), 99, 1.5, (LINK,)))[3]
    leaving = one(Ask(Service(0.5, 0.1), 99, 1.5, (LINK,), departures_per_hour=10.0))[3]
    assert 0.0 < leaving < staying


def test_where_too_many_leave_nothing_is_safe():
    assert not one(Ask(Service(5.0, 0.1), 99, 9.0, (LINK,), departures_per_hour=20.0)).any()


@settings(max_examples=30, deadline=None)
@given(st.floats(0.001, 0.1), st.floats(0.0, 1.0), st.floats(0.05, 1.0), st.sampled_from((90, 95, 99)))
def test_more_servers_and_looser_targets_never_lower_the_utilisation(seconds, scv, target, percentile):
    table = one(Ask(Service(seconds, scv), percentile, target))
    assert (np.diff(table) >= 0.0).all()
    assert table[0] <= one(Ask(Service(seconds, scv), percentile, target * 1.5))[0] + 5e-3


@settings(max_examples=60, deadline=None)
@given(st.floats(0.01, 400.0), st.integers(1, 300), st.floats(0.06, 0.6))
def test_the_pool_found_is_the_smallest_that_carries_the_load(load, least, slack):
    table = one(Ask(Service(0.028, 0.25), 99, 0.06 + slack))[None]
    rho = float(in_smallest_pool(table, np.array([load]), np.array([least]))[0])
    sizes = np.arange(max(least, 1), 257) if least <= 256 else np.array([256])
    by_size = at_size(np.repeat(table, len(sizes), axis=0), sizes.astype(np.float64))
    carrying = np.flatnonzero(by_size * sizes >= load - 1e-9)
    expected = by_size[carrying[0]] if len(carrying) else by_size[-1]
    assert rho == pytest.approx(expected, abs=1e-9)


def test_more_round_trips_than_a_table_has_count_as_longer_ones():
    rng = np.random.default_rng(2)
    trips = [(0.01 + rng.random() / 10, 0.15 + rng.random() / 10) for _ in range(500)]
    coarse = coarsened(trips, MOST_TRIPS)
    assert len(set(coarse.values())) <= MOST_TRIPS
    assert all(kept >= own for trip, other in coarse.items() for own, kept in zip(trip, other, strict=True))
    assert coarsened(trips[:5], MOST_TRIPS) == {trip: trip for trip in trips[:5]}
