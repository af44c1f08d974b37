"""What demand scales and limits mean, by the linear relaxation that HiGHS solves: fractional replicas and units."""

from dataclasses import dataclass

import highspy
import numpy as np
import pytest

from parkade.problem.arrays import ProblemArrays
from parkade.simulate.problems import Sizes, generate


@dataclass(frozen=True)
class Relaxed:
    objective: float
    shortfall: float
    cars: float
    """Share in use."""
    servers: float
    """Share in use."""
    limit_prices: np.ndarray


def relaxed(problem: ProblemArrays) -> Relaxed:
    arcs, covers = len(problem.arcs_demand), len(problem.demands_covers_quantity)
    steps, resources, limits = (
        len(problem.supplies_steps_count), len(problem.supplies_capacity_amount), len(problem.limits_bound),
    )  # fmt: skip
    rows, columns, values = (np.concatenate(parts) for parts in zip(*blocks(problem), strict=True))
    order = np.lexsort((rows, columns))
    found = highspy.HighsLp()
    found.num_col_, found.num_row_ = arcs + covers + steps, covers + resources + limits
    found.col_cost_ = np.concatenate(
        [problem.arcs_cost.astype(float), problem.demands_covers_short_cost, problem.supplies_steps_cost]
    )
    found.col_lower_ = np.zeros(found.num_col_)
    most = [problem.arcs_max.astype(float), np.full(covers, np.inf), problem.supplies_steps_count.astype(float)]
    found.col_upper_ = np.concatenate(most)
    found.row_lower_ = np.concatenate([problem.demands_covers_quantity, np.full(resources + limits, -np.inf)])
    found.row_upper_ = np.concatenate([np.full(covers, np.inf), np.zeros(resources), problem.limits_bound])
    found.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    found.a_matrix_.start_ = np.searchsorted(columns[order], np.arange(found.num_col_ + 1))
    found.a_matrix_.index_, found.a_matrix_.value_ = rows[order], values[order]
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.passModel(found)
    highs.run()
    assert highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    solution = highs.getSolution()
    value, dual = np.array(solution.col_value), np.array(solution.row_dual)
    units, count = value[arcs + covers :], problem.supplies_steps_count
    car = np.array([not name.startswith("triton/") for name in problem.supplies_id])[
        owner(problem.supplies_steps_offsets)
    ]
    return Relaxed(
        objective=highs.getObjectiveValue(),
        shortfall=float(problem.demands_covers_short_cost @ value[arcs : arcs + covers]),
        cars=units[car].sum() / count[car].sum(),
        servers=units[~car].sum() / count[~car].sum(),
        limit_prices=-dual[covers + resources :],
    )


def owner(offsets: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets.astype(np.int64)))


def blocks(problem: ProblemArrays):
    """(rows, columns, values) of yields, shortfalls, uses, units and limits."""
    arcs, covers = len(problem.arcs_demand), len(problem.demands_covers_quantity)
    arc = owner(problem.yields_offsets)
    first = problem.demands_covers_offsets.astype(np.int64)[problem.arcs_demand] - problem.yields_offsets[:-1]
    yield first[arc] + np.arange(len(arc)), arc, problem.arcs_yields
    yield np.arange(covers), arcs + np.arange(covers), np.ones(covers)
    arc, resources = owner(problem.arcs_use_offsets), problem.supplies_capacity_offsets.astype(np.int64)
    yield covers + resources[problem.arcs_supply][arc] + problem.arcs_use_resource, arc, problem.arcs_use_amount
    supply = owner(problem.supplies_steps_offsets)
    each = np.diff(resources)[supply]
    step = np.repeat(np.arange(len(supply)), each)
    resource = np.arange(len(step)) - (np.cumsum(each) - each)[step] + resources[supply][step]
    yield covers + resource, arcs + covers + step, -problem.supplies_capacity_amount[resource]
    limit = covers + len(problem.supplies_capacity_amount) + owner(problem.limits_terms_offsets)
    yield limit, problem.limits_terms_arc, problem.limits_terms_coefficient


def solved(*, demand_scale: float = 1.0, limits: bool = False, seed: int = 1) -> Relaxed:
    return relaxed(generate(Sizes(300, 30_000, 3_000, 220, seed, limits, demand_scale)))


@pytest.mark.parametrize("seed", range(1, 5))
def test_demand_scale_1_is_comfortable_with_and_without_limits(seed):
    free, limited = solved(seed=seed), solved(seed=seed, limits=True)
    assert 0.1 < free.cars < 0.3
    assert 0.02 < free.servers < 0.5
    assert free.shortfall < 0.01 * free.objective
    assert limited.shortfall < 0.01 * limited.objective
    assert limited.objective > free.objective * (1.0 + 1e-4)  # some limit binds
    assert limited.limit_prices.max() > 0.0


def test_more_demand_makes_it_tight_and_then_too_much():
    comfortable, tight, over = (solved(demand_scale=scale, seed=4) for scale in (1.0, 2.0, 2.9))
    assert comfortable.cars < tight.cars < over.cars
    assert comfortable.objective * 2.5 < tight.objective
    assert tight.shortfall < 0.05 * tight.objective
    assert over.cars > 0.6
    assert over.shortfall > 0.01 * over.objective
