import pytest

from parkade.problem.latency import Path, Service, erlang_c, percentile_of
from problem.queueing import error


@pytest.mark.parametrize("scv", [0.05, 0.25, 1.0])
@pytest.mark.parametrize("utilisation", [0.5, 0.7, 0.85])
@pytest.mark.parametrize("servers", [4, 16, 64])
def test_p99_agrees_with_a_simulation_within_five_percent(servers, utilisation, scv):
    assert error(servers, utilisation, scv) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize(
    ("servers", "utilisation", "scv", "legs"),
    [
        (4, 0.7, 0.1, ((0.018, 0.060),)),
        (16, 0.85, 0.25, ((0.008, 0.015), (0.045, 0.110))),
        (4, 0.85, 1.0, ((0.075, 0.330),)),
    ],
)
def test_p99_with_network_legs_agrees_within_five_percent(servers, utilisation, scv, legs):
    assert error(servers, utilisation, scv, legs) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize(
    ("servers", "utilisation", "scv", "reported"),
    [(8, 0.5, 0.0, -0.06), (4, 0.85, 0.0, 0.03), (1, 0.5, 1.0, -0.10), (2, 0.5, 1.0, -0.03), (4, 0.5, 4.0, 0.01),
     (4, 0.85, 4.0, -0.02), (16, 0.85, 4.0, 0.02), (16, 0.9, 1.0, 0.01)],
)  # fmt: skip
def test_beyond_that_the_error_is_as_documented(servers, utilisation, scv, reported):
    assert error(servers, utilisation, scv) == pytest.approx(reported, abs=0.03)


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
