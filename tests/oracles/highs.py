"""The exact optimum of a small problem by HiGHS, from the problem file alone.

Tolerances are 1e-9: at the default of 1e-6 HiGHS has called plans optimal that an exactly feasible one undercuts.
"""

from typing import Any

import highspy


def optimum(problem: dict[str, Any]) -> float:
    """$/h of the best plan."""
    _, best = bracket(problem)
    return best


def bracket(problem: dict[str, Any], time_limit: float = highspy.kHighsInf) -> tuple[float, float]:
    """$/h that no plan undercuts, by HiGHS's branching, and of the best plan found within the limit (seconds)."""
    highs = posed(problem)
    highs.setOptionValue("time_limit", time_limit)
    highs.run()
    status, best = highs.getModelStatus(), float(highs.getObjectiveValue())
    if status == highspy.HighsModelStatus.kTimeLimit:
        return float(highs.getInfo().mip_dual_bound), best
    if status not in (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kModelEmpty):
        raise AssertionError(f"HiGHS ended with {status}")
    return best, best


def posed(problem: dict[str, Any]) -> highspy.Highs:
    """The problem as HiGHS has it, with a whole number for each arc and each step."""
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    for name in ("mip_feasibility_tolerance", "primal_feasibility_tolerance", "mip_rel_gap", "mip_abs_gap"):
        highs.setOptionValue(name, 1e-9)
    arcs = problem["arcs"]
    n = [highs.addIntegral(0, arc["max"], arc["cost"]) for arc in arcs]
    for index, demand in enumerate(problem["demands"]):
        own = [a for a, arc in enumerate(arcs) if arc["demand"] == index]
        for position, cover in enumerate(demand["covers"]):
            short = highs.addVariable(0, highspy.kHighsInf, cover["short_cost"])
            terms = sum(arcs[a]["yields"][position] * n[a] for a in own)
            highs.addConstr(terms + short >= cover["quantity"])
    for index, supply in enumerate(problem["supplies"]):
        own = [a for a, arc in enumerate(arcs) if arc["supply"] == index]
        steps = [highs.addIntegral(0, step["count"], step["cost"]) for step in supply["steps"]]
        for resource, capacity in supply["capacity"].items():
            used = sum(arcs[a]["use"].get(resource, 0.0) * n[a] for a in own)
            given = sum(capacity * step for step in steps)
            if own:
                highs.addConstr(used - given <= 0)
    for limit in problem["limits"]:
        if limit["terms"]:
            highs.addConstr(sum(coefficient * n[arc] for arc, coefficient in limit["terms"]) <= limit["bound"])
    return highs
