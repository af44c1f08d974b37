"""Generated instances are valid, repeatable, and hold what real fleets would ask."""

import numpy as np
import pytest
from click.testing import CliRunner

from parkade.problem.arrays import ProblemArrays
from parkade.problem.flattening import unflatten
from parkade.simulate.command import generate_problem
from parkade.simulate.problems import Sizes, generate

MIDDLE = Sizes(workloads=400, vehicles=60_000, steps=3_000, servers=420, seed=5, limits=True)
SIZES = [
    Sizes(workloads=1, vehicles=2, steps=1, servers=1, seed=0, limits=True),
    Sizes(workloads=10, vehicles=3_000, steps=40, servers=80, seed=1),
    Sizes(workloads=10, vehicles=3_000, steps=40, servers=80, seed=2, limits=True, demand_scale=3.0),
    Sizes(workloads=300, vehicles=10_000_000, steps=9_000, servers=100, seed=3, limits=True),
    MIDDLE,
]


@pytest.fixture(scope="module")
def middle() -> ProblemArrays:
    return generate(MIDDLE)


def kinds(problem: ProblemArrays) -> np.ndarray:
    return np.array([name.split("/")[0] for name in problem.demands_covers_id])


def shares(problem: ProblemArrays) -> dict[str, float]:
    """Covers of each kind for one demand."""
    names, counts = np.unique(kinds(problem), return_counts=True)
    return dict(zip(names.tolist(), counts / (len(problem.demands_covers_offsets) - 1), strict=True))


def owner(offsets: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets.astype(np.int64)))


def is_kept(problem: ProblemArrays) -> np.ndarray:
    """Arcs that the next one repeats: replicas that run, before further ones at the same place."""
    pair = np.stack([problem.arcs_demand, problem.arcs_supply]).astype(np.int64)
    return np.append((pair[:, 1:] == pair[:, :-1]).all(axis=0), [False])


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_every_size_is_a_problem_that_the_format_takes(sizes):
    problem = generate(sizes)
    assert len(np.unique(problem.arcs_demand)) == sizes.workloads
    for name, array in problem.to_mapping().items():
        if array.dtype.kind == "f":
            assert np.isfinite(array).all(), name
            assert name.endswith("cost") or (array >= 0.0).all(), name
    assert (problem.demands_covers_quantity > 0.0).all()
    assert (problem.arcs_max > 0).all()
    if sizes.workloads == 10:
        assert unflatten(problem).arcs[0].demand == 0


def test_equal_arguments_give_equal_bytes_and_another_seed_does_not(tmp_path):
    common = ["--workloads", "30", "--vehicles", "9000", "--steps", "90", "--servers", "60", "--limits", "-o"]
    contents = []
    for at, seed in enumerate(("1", "1", "2")):
        path = tmp_path / f"{at}.npz"
        done = CliRunner().invoke(generate_problem, [*common, str(path), "--seed", seed])
        assert done.exit_code == 0, done.output
        assert f"{path}: 30 demands with" in done.output
        contents.append(path.read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_sizes_are_what_was_asked_for(middle):
    vehicles = np.array([not name.startswith("triton/") for name in middle.supplies_id])
    of_vehicle = vehicles[owner(middle.supplies_steps_offsets)]
    assert middle.supplies_steps_count[of_vehicle].sum() == 57_000  # 5 % are silent or about to leave
    assert of_vehicle.sum() == 3_000
    assert middle.supplies_steps_count[~of_vehicle].sum() == 420
    assert (vehicles.sum(), (~vehicles).sum()) == (150, 12)
    same = owner(middle.supplies_steps_offsets)[1:] == owner(middle.supplies_steps_offsets)[:-1]
    assert (np.diff(middle.supplies_steps_cost)[same] >= 0.0).all()
    assert (middle.supplies_steps_count > 0).all()


def test_all_kinds_of_covers_occur_about_as_often_as_they_should(middle):
    found = shares(middle)
    assert {"rate", "min-replicas", "spread", "departures", "verify", "batch"} == set(found)
    assert 0.95 <= found["rate"] <= 1.2  # two caller groups make three
    assert found["rate"] + found["batch"] > 1.0
    assert 0.4 < found["min-replicas"] < 0.55
    assert 0.25 < found["spread"] < 0.45
    assert 0.22 < found["departures"] < 0.35


def test_two_caller_groups_have_a_cover_each_and_one_together(middle):
    names, offsets = middle.demands_covers_id, middle.demands_covers_offsets
    quantity = middle.demands_covers_quantity
    two = [at for at, name in enumerate(names) if "+" in name and names[max(at - 2, 0)].startswith("rate/")
           and owner(offsets)[at] == owner(offsets)[max(at - 2, 0)]]  # fmt: skip
    assert two
    for at in two:
        assert quantity[at - 2] + quantity[at - 1] == pytest.approx(quantity[at], rel=1e-6)


def test_yields_follow_from_the_kind_of_cover(middle):
    row = owner(middle.yields_offsets)
    first = middle.demands_covers_offsets.astype(np.int64)[middle.arcs_demand][row]
    cover = first + np.arange(len(row)) - middle.yields_offsets[row]
    kind, yields = kinds(middle)[cover], middle.arcs_yields
    server = np.array([name.startswith("triton/") for name in middle.supplies_id])[middle.arcs_supply][row]
    assert (yields[kind == "min-replicas"] == 1.0).all()
    assert (yields[(kind == "verify") & ~server] == 0.0).all()
    assert (yields[(kind == "verify") & server] > 0.0).any()
    assert (yields[kind == "spread"] == 0.0).any()
    assert (yields <= middle.demands_covers_quantity[cover] * (1.0 + 1e-12)).all()
    saturated = yields == middle.demands_covers_quantity[cover]
    assert saturated.any()  # exactly: what one replica carries leaves no shortfall by rounding


def test_shares_of_a_car_fill_it_and_no_more(middle):
    capacity = np.diff(middle.supplies_capacity_offsets.astype(np.int64))
    car = capacity[middle.arcs_supply] == 1
    share = middle.arcs_use_amount[middle.arcs_use_offsets[:-1][car]].astype(np.float64)
    fit = np.round(1.0 / share)
    assert set(fit) == {1.0, 2.0, 3.0}
    assert (share * fit <= 1.0).all()


def test_replicas_that_run_pay_no_move(middle):
    kept = np.flatnonzero(is_kept(middle))
    assert 0.005 < len(kept) / len(middle.arcs_demand) < 0.1
    assert (middle.arcs_cost[kept] < middle.arcs_cost[kept + 1]).all()
    running = len(np.unique(middle.arcs_demand[kept])) / MIDDLE.workloads
    assert 0.15 < running <= 0.2


def test_limits_are_a_zone_for_each_region_and_the_churn(middle):
    regions = sorted({name.split("/")[1 if name.startswith("triton") else 0] for name in middle.supplies_id})
    assert sorted(middle.limits_id[:-1]) == [f"power/{name}" for name in regions]
    assert middle.limits_id[-1] == "churn"
    start = middle.limits_terms_offsets[-2]
    assert len(np.unique(middle.limits_terms_arc[:start])) == start == len(middle.arcs_demand)
    churning = middle.limits_terms_arc[start:]
    assert not is_kept(middle)[churning].any()
    assert (middle.limits_terms_coefficient[start:] == 1.0).all()


def test_limits_and_demand_scale_change_nothing_else(middle):
    plain = generate(Sizes(400, 60_000, 3_000, 420, 5))
    double = generate(Sizes(400, 60_000, 3_000, 420, 5, demand_scale=2.0))
    for name, array in plain.to_mapping().items():
        if not name.startswith("limits."):
            assert np.array_equal(array, middle.to_mapping()[name]), name
    for name in ("arcs_demand", "arcs_supply", "arcs_cost", "arcs_use_amount", "supplies_steps_cost"):
        assert np.array_equal(getattr(plain, name), getattr(double, name)), name
    scale = double.demands_covers_quantity / plain.demands_covers_quantity
    replicas = kinds(plain) == "min-replicas"
    assert np.allclose(scale[~replicas], 2.0, rtol=1e-6)
    assert (scale[replicas] == 1.0).all()


def test_merit_orders_rise_and_some_energy_costs_less_than_nothing(middle):
    cost = middle.supplies_steps_cost[: MIDDLE.steps]
    assert cost.min() < 0.0 < np.median(cost)
    servers = middle.supplies_steps_cost[MIDDLE.steps :]
    assert servers.min() >= 1.3
    assert servers.max() < 1.9


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path):
    target = tmp_path / "missing" / "problem.npz"
    sizes = ["--workloads", "1", "--vehicles", "2", "--steps", "1", "--servers", "1", "--seed", "0"]
    done = CliRunner().invoke(generate_problem, [*sizes, "-o", str(target)])
    assert f"{target} cannot be written: No such file or directory" in str(done.exception)
