"""The benchmark of the solver runs, and what its methods say of the same instance fits together."""

import pytest

from benchmarks.running import results_of
from benchmarks.solver.catalogue import METHODS

pytestmark = pytest.mark.slow

PACKAGES_OF_THE_GROUP = {"pdlp", "cp-sat", "min-cost-flow"}
"""Methods whose packages only `make bench-solver` installs."""


@pytest.fixture(scope="module")
def results(tmp_path_factory, repository_root):
    folder = tmp_path_factory.mktemp("bench")
    found = results_of(repository_root, "solver", "--smoke", file=folder / "results.json", XDG_CACHE_HOME=str(folder))
    return {each["name"]: {row["method"]: row for row in each["methods"]} for each in found["instances"]}


def plans(rows):
    return {name: row for name, row in rows.items() if row["objective"] is not None}


def test_every_method_answers_or_says_why_not(results):
    for rows in results.values():
        assert set(rows) == {name for name, method in METHODS.items() if not method.packages}
        for name, row in rows.items():
            assert row["outcome"] in ("done", "cut short", "not run", "not applicable") or (
                row["outcome"] == "not installed" and name in PACKAGES_OF_THE_GROUP
            ), row
            assert row["outcome"] in ("done", "cut short") or row["note"], row


def test_no_plan_is_cheaper_than_a_proof_allows(results):
    for rows in results.values():
        for name, row in plans(rows).items():
            assert row["objective"] >= rows["ours"]["ownBound"], name
            assert row["objective"] >= rows["highs-simplex"]["ownBound"] - 1e-6, name


def test_relaxations_agree(results):
    for rows in results.values():
        simplex = rows["highs-simplex"]
        assert simplex["ownBound"] == pytest.approx(simplex["relaxation"], rel=1e-6)
        assert rows["highs-ipm"]["relaxation"] == pytest.approx(simplex["relaxation"], rel=1e-5)
        if rows["pdlp"]["outcome"] == "done":
            assert rows["pdlp"]["relaxation"] == pytest.approx(simplex["relaxation"], rel=1e-2)


def test_a_minimum_cost_flow_is_the_optimum_where_the_problem_is_one(results):
    flow, exact = results["uniform:8x8"]["min-cost-flow"], results["uniform:8x8"]["highs-mip"]
    if flow["outcome"] == "not installed":
        pytest.skip(flow["note"])
    assert exact["outcome"] == "done"
    assert flow["objective"] == pytest.approx(exact["objective"], rel=1e-4)
    assert results["dense:20x10"]["min-cost-flow"]["note"] == "no flow: demands have several covers"


def test_those_who_keep_what_runs_start_little(results):
    for rows in results.values():
        for name in ("kube-least", "kube-most", "spread"):
            assert rows[name]["again"]["started"] <= 3, name
