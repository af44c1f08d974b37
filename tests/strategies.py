"""Hypothesis strategies that several rooms share."""

from hypothesis import strategies as st

from parkade.problem.format import Arc, Cover, Demand, Limit, Problem, Step, Supply

MOST_RESOURCES = ("compute", "memory")


def amounts(most: float, *, least: float = 0.0) -> st.SearchStrategy[float]:
    """Decimal numbers as manifests have them, and now and then one with a full mantissa."""
    cents = st.integers(round(least * 100), round(most * 100)).map(lambda cents: cents / 100)
    return st.one_of(cents, cents, st.floats(least, most).map(lambda value: 0.0 if abs(value) < 1e-6 else value))


@st.composite
def demands(draw: st.DrawFn) -> tuple[Demand, ...]:
    count = draw(st.integers(0, 4))
    return tuple(
        Demand(
            f"demand-{index}",
            tuple(
                Cover(f"cover-{position}", draw(amounts(100.0)), draw(amounts(10.0)))
                for position in range(draw(st.integers(1, 3)))
            ),
        )
        for index in range(count)
    )


@st.composite
def supplies(draw: st.DrawFn) -> tuple[Supply, ...]:
    found = []
    for index in range(draw(st.integers(1, 3))):
        resources = MOST_RESOURCES[: draw(st.integers(1, 2))]
        steps = tuple(
            Step(draw(st.integers(0, 6)), draw(amounts(2.0, least=-0.2))) for _ in range(draw(st.integers(0, 3)))
        )
        capacity = {name: draw(st.one_of(st.just(1.0), amounts(16.0))) for name in resources}
        found.append(Supply(f"supply-{index}", steps, capacity))
    return tuple(found)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Small problems with all that the format has: kept and new arcs, two resources, limits, negative costs."""
    wants, gives = draw(demands()), draw(supplies())
    arcs: list[Arc] = []
    for demand, want in enumerate(wants):
        for supply, give in enumerate(gives):
            if not draw(st.integers(0, 3)):
                continue
            yields = tuple(draw(amounts(40.0)) for _ in want.covers)
            use = {name: draw(st.one_of(st.sampled_from((1.0, 0.5, 0.2, 0.1)), amounts(4.0))) for name in give.capacity}
            cost = draw(amounts(1.0, least=-0.1))
            for name, dearer in (("kept", 0.0), ("new", 0.05))[draw(st.integers(0, 1)) :]:
                most = draw(st.integers(0, 12))
                arcs.append(Arc(name, demand, supply, yields, cost + dearer, use, most))
    chosen = st.lists(st.integers(0, len(arcs) - 1), unique=True, max_size=5) if arcs else st.just([])
    limits = tuple(
        Limit(f"limit-{index}", draw(amounts(10.0)), tuple((arc, draw(amounts(2.0))) for arc in draw(chosen)))
        for index in range(draw(st.integers(0, 2)))
    )
    return Problem(wants, gives, tuple(arcs), limits)
