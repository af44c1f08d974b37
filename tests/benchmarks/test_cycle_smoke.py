"""The benchmark of the operator's cycle runs at a smoke size: every change becomes an order."""

import pytest

from benchmarks.running import results_of

# A control plane, NATS, carlet, operator and 100 vehicles for a minute.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def sections(tmp_path_factory, repository_root):
    file = tmp_path_factory.mktemp("bench") / "results.json"
    return [section["figures"] for section in results_of(repository_root, "cycle", "--quick", file=file)["sections"]]


def test_every_workload_is_ordered_and_every_change_becomes_an_order(sections):
    settled, rest, events = sections
    assert settled["replicas"] >= 2 * settled["workloads"]
    assert rest["megabytes"] > 10
    assert events["events"] == 5
    assert 0 < events["p50"] <= events["worst"]


def test_the_cycle_is_accounted_for_by_phase_and_request(sections):
    *_, events = sections
    assert {"read", "plan", "diff", "recheck", "apply"} <= events["phases"].keys()
    assert events["requestsACycle"]["APPLY vehiclecells"] > 0
    assert events["etcdBytes"] > 0
