"""Problems of any size, for what happens only in larger ones."""

from parkade.problem.format import Arc, Cover, Demand, Problem, Step, Supply


def crowd(count: int) -> Problem:
    """Equal demands that compete for a few cars and servers."""
    covers = (Cover("rate", 60.0, 0.02), Cover("min-replicas", 2, 0.5))
    supplies = (
        Supply("cars", tuple(Step(count // 3, 0.04 + step / 100) for step in range(3)), {"unit": 1.0}),
        Supply("servers", (Step(max(1, count // 10), 1.2),), {"compute": 1.0, "memory": 80.0}),
    )
    uses = ({"unit": 1.0}, {"compute": 0.2, "memory": 9.0})
    arcs = tuple(
        Arc("new", demand, supply, (40.0 + 80.0 * supply, 1.0), 0.001 * demand / count, uses[supply], 9)
        for demand in range(count)
        for supply in range(2)
    )
    return Problem(tuple(Demand(f"w{index}", covers) for index in range(count)), supplies, arcs, ())
