"""Hypothesis strategies that several rooms share."""

from random import Random

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


def contended(seed: int) -> Problem:
    """A problem in which demands compete: few units, servers at a fixed price, binding limits, several covers."""
    random = Random(seed)  # noqa: S311 -- a repeatable problem, not a secret
    regions, demand_count, supply_count = 3, random.randint(3, 7), random.randint(3, 6)
    found, homes = [], []
    for index in range(supply_count):
        homes.append(random.randrange(regions))
        if index % 3 == 2:
            steps = (Step(2, 1.2 + index / 10), Step(2, 1.25 + index / 10))
            found.append(Supply(f"pool-{index}", steps, {"compute": 1.0, "memory": 80.0}))
        else:
            steps = tuple(Step(random.randint(1, 5), 0.03 + step / 50) for step in range(3))
            found.append(Supply(f"cars-{index}", steps, {"unit": 1.0}))
    wants, arcs = [], []
    for index in range(demand_count):
        rate, home = random.uniform(20, 300), random.randrange(regions)
        price = random.uniform(0.002, 0.02)
        covers = (Cover("rate", rate, price), Cover("min-replicas", 2, 0.1), Cover("spread", rate / 2, price / 2))
        wants.append(Demand(f"demand-{index}", covers[: random.randint(1, 3)]))
        for supply, give in enumerate(found):
            pooled = "compute" in give.capacity
            speed = random.uniform(30, 60) * (3 if pooled else 1)
            yields = (speed, 1.0, 0.0 if homes[supply] == home else speed)[: len(wants[-1].covers)]
            cars = {"unit": 1 / random.choice((1, 2, 3, 5))}
            use = {"compute": random.uniform(0.05, 0.4), "memory": random.uniform(1, 30)} if pooled else cars
            cost = random.uniform(-0.002, 0.02)
            arcs += [Arc("kept", index, supply, yields, cost, use, 2)] * (random.random() < 0.3)
            arcs.append(Arc("new", index, supply, yields, cost + 0.005, use, 12))
    limits = tuple(
        Limit(f"power-{region}", 2.0, tuple((at, 0.2) for at, arc in enumerate(arcs) if homes[arc.supply] == region))
        for region in range(regions)
    )
    return Problem(tuple(wants), tuple(found), tuple(arcs), limits)
