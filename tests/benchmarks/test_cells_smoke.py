"""Cells are accounted for at a smoke size: what they cost the API server, and what a killed carlet costs them."""

import pytest

from benchmarks.fleet.accounts import Account, parsed, spent
from benchmarks.fleet.cells import StatusWrites
from benchmarks.running import results_of

# A control plane and two carlets for two minutes.
smoke = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def found(tmp_path_factory, repository_root):
    file = tmp_path_factory.mktemp("bench") / "results.json"
    measured = results_of(repository_root, "fleet", "--quick", "--parts", "cells", file=file)
    return measured["sections"][0]["figures"]


class TestQuickCells:
    pytestmark = smoke

    def test_both_carlets_are_accounted_for_at_rest_and_in_churn(self, found):
        phases = found["phases"]
        assert [(phase["phase"], phase["carlets"]) for phase in phases] == [
            ("rest", 1), ("churn", 1), ("rest", 2), ("churn", 2),
        ]  # fmt: skip
        for phase in phases:
            assert phase["leasesPerSecond"] > 1
            assert phase["etcdBytesIn"] > 0
            assert phase["cores"]["kube-apiserver"] > 0
            assert len([name for name in phase["cores"] if name.startswith("carlet")]) == phase["carlets"]
            assert phase["rejected"] == 0

    def test_a_cell_shows_its_vehicles_at_most_once_in_ten_seconds(self, found):
        phases = found["phases"]
        assert any(phase["statusWritesOfACell"] > 0 for phase in phases)
        assert all(phase["supplyWritesOfACell"] <= 1 for phase in phases)

    def test_a_killed_carlet_costs_no_node_no_pod_and_no_model(self, found):
        takeover = found["takeover"]
        assert takeover["cells"] > 0
        assert (takeover["nodesLost"], takeover["podsDeleted"], takeover["unloads"]) == (0, 0, 0)


def test_a_write_that_shows_vehicles_alone_is_told_from_one_that_shows_orders():
    def cell(here, ready):
        line = {"workload": "w", "desired": 2, "ready": ready, "reason": "Ready"}
        return {"metadata": {"name": "a"}, "status": {"supply": [{"vehicles": here}], "assignments": [line]}}

    wrote = StatusWrites(None)
    wrote.cell("ADDED", cell(5, 1))
    wrote.cell("MODIFIED", cell(5, 1))
    wrote.cell("MODIFIED", cell(4, 1))
    wrote.cell("MODIFIED", cell(4, 2))
    assert (wrote.writes, wrote.supply) == ({"a": 2}, {"a": 1})


def test_accounts_are_rates_by_verb_and_resource_with_what_began_meanwhile():
    text = 'apiserver_request_total{code="200",resource="leases",verb="PUT"} %s\n# HELP x y\nplain 3\n'
    assert parsed(text % 7) == {
        "apiserver_request_total": [({"code": "200", "resource": "leases", "verb": "PUT"}, 7.0)], "plain": [({}, 3.0)],
    }  # fmt: skip
    rest = dict.fromkeys(("rejected", "received", "sent", "answered", "watched", "database", "used"), 0.0)
    before = Account(at=1.0, requests={("PUT", "leases"): 7.0}, processor={"etcd": 1.0}, memory={}, **rest)
    requests = {("PUT", "leases"): 27.0, ("GET", "nodes"): 5.0}
    after = Account(at=11.0, requests=requests, processor={"etcd": 2.0, "carlet": 1.0}, memory={}, **rest)
    found = spent(before, after)
    assert (found.requests, found.writes, found.of("leases")) == (2.5, 2.0, 2.0)
    assert found.cores == {"etcd": 0.1}
