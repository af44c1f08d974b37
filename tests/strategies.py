"""Random values that several rooms test with: strategies for hypothesis, and repeatable ones by a seed."""

from random import Random

from hypothesis import strategies as st

from parkade.problem.format import Arc, Cover, Demand, Limit, Problem, Step, Supply


def problems() -> st.SearchStrategy[Problem]:
    """Tiny problems with all that the format has; hypothesis shrinks them."""
    return st.randoms(use_true_random=False).map(random_problem)


def random_problem(random: Random) -> Problem:
    """Several covers, kept and new arcs, two resources, limits, negative costs, things that are 0 or absent."""
    wants = tuple(_demand(random, index) for index in range(random.randint(0, 4)))
    gives = tuple(_supply(random, index) for index in range(random.randint(1, 3)))
    arcs: list[Arc] = []
    for demand, want in enumerate(wants):
        for supply, give in enumerate(gives):
            if random.randint(0, 3):
                arcs += _arcs(random, demand, want, supply, give)
    limits = tuple(
        Limit(
            f"limit-{index}",
            _amount(random, 0.0, 10.0),
            tuple((arc, _amount(random, 0.0, 2.0)) for arc in range(len(arcs)) if random.randint(0, 1)),
        )
        for index in range(random.randint(0, 2))
    )
    return Problem(wants, gives, tuple(arcs), limits)


def _amount(random: Random, least: float, most: float) -> float:
    """A decimal as manifests have them, or now and then a number with a full mantissa, or 0."""
    match random.randint(0, 5):
        case 0:
            return 0.0
        case 1:
            value = random.uniform(least, most)
            return value if abs(value) > 1e-6 else 0.0  # HiGHS drops coefficients much smaller
        case _:
            return random.randint(round(least * 100), round(most * 100)) / 100


def _demand(random: Random, index: int) -> Demand:
    covers = range(random.randint(1, 3))
    return Demand(
        f"demand-{index}",
        tuple(Cover(f"cover-{at}", _amount(random, 0.0, 100.0), _amount(random, 0.0, 10.0)) for at in covers),
    )


def _supply(random: Random, index: int) -> Supply:
    steps = tuple(Step(random.randint(0, 6), _amount(random, -0.2, 2.0)) for _ in range(random.randint(0, 3)))
    resources = ("compute", "memory")[: random.randint(1, 2)]
    return Supply(
        f"supply-{index}", steps, {name: random.choice((1.0, _amount(random, 0.0, 16.0))) for name in resources}
    )


def _arcs(random: Random, demand: int, want: Demand, supply: int, give: Supply) -> list[Arc]:
    yields = tuple(_amount(random, 0.0, 40.0) for _ in want.covers)
    use = {name: random.choice((1.0, 0.5, 0.2, 0.1, _amount(random, 0.0, 4.0))) for name in give.capacity}
    cost = _amount(random, -0.1, 1.0)
    kinds = (("kept", 0.0), ("new", 0.05))[random.randint(0, 1) :]
    return [Arc(name, demand, supply, yields, cost + dearer, use, random.randint(0, 12)) for name, dearer in kinds]


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
