"""Does a parked car pay? One workload on cars or on A100 servers, in every hour of a recorded year.

The costs of a place are those that a plan shows as alternatives (`parkade.plan.alternatives`), framed from manifests.
They depend on the hour only through what a kilowatt-hour costs there, its carbon included, and that linearly: two
framings give every hour. `tests/report` plans a sample of hours in full and finds the same choices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from parkade.api import InferenceWorkload, Region, TritonPool, VehicleNodePool, parse
from parkade.plan.alternatives import alternatives
from parkade.problem.framing import frame
from parkade.settings import Economics
from parkade.simulate.grid import GridHours
from parkade.snapshot import Snapshot

Floats = NDArray[np.float64]
Kind = TypeVar("Kind", InferenceWorkload, Region, TritonPool, VehicleNodePool)
Model = Literal["resnet50", "bert", "retinanet"]
State = Literal["Charging", "Awake", "Asleep"]

SERVERS: Final = 64
"""A100 servers, and as many cars as could do their work."""
WORTH: Final = 40
"""Servers at full speed that the demand is worth: enough for a server or a car more or less not to matter."""
CARS: Final = 5_000
INSTANCES: Final = 4
METER_ADDER: Final = 0.075
"""$/kWh that a datacenter pays on top of the day-ahead price: delivery and charges, to a mean of 0.11."""
IDLE_WATTS: Final = 90
MAX_WATTS: Final = 400
"""Of an A100-SXM by its data sheet; a server that is on is idle for nobody's sake, so requests pay the difference."""
PUE: Final = "1.25"
CAR_WATTS: Final = {"computeWatts": 100, "awakeWatts": 250, "asleepWatts": 5, "chargingPercent": 88}
NOW: Final = datetime(2020, 1, 1, tzinfo=UTC)

ECONOMICS: Final = replace(Economics(), egress_per_gb=0.0)
"""The network is free here: what a priced byte does is a question of its own (docs/does-it-pay.md)."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Samples/s in MLPerf Inference v3.1, closed division, Offline scenario."""

    car: float
    """NVIDIA Jetson AGX Orin (MaxP), submitted by NVIDIA: the stand-in for a car's computer."""
    server: float
    """One of the eight A100-SXM-80GB of a server, submitted by Oracle."""


SPEEDS: Final[Mapping[Model, Speed]] = {
    "resnet50": Speed(6423.63, 325567.0 / 8),
    "bert": Speed(553.693, 28028.6 / 8),
    "retinanet": Speed(148.713, 6512.98 / 8),
}


@dataclass(frozen=True, slots=True)
class Question:
    """What is compared."""

    model: Model = "resnet50"
    state: State = "Charging"
    """What the cars would do without us."""
    plug: float = 0.31
    """$/kWh at the owner's plug."""
    follows_market: bool = False
    """`plug` comes on top of the day-ahead price."""
    carbon_price: float = 80.0
    """$ per tonne of CO2."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Which place is cheaper in which hours."""

    share: Floats
    """[opportunity costs, payouts], of the hours in which the car is cheaper."""
    break_even: Floats
    """[hours, payouts], $/server-hour above which the car is cheaper."""


def answer(question: Question, hours: GridHours, opportunity: Sequence[float], payout: Sequence[float]) -> Answer:
    """Compare all hours with all opportunity costs ($/server-hour) and payouts ($/compute-hour)."""
    carbon = hours.carbon * question.carbon_price / 1000.0
    at_meter = hours.price + METER_ADDER + carbon
    at_plug = question.plug + carbon + (hours.price if question.follows_market else 0.0)
    free, priced = (_costs(question, price, payout) for price in (0.0, 1.0))
    on_servers = free.servers + at_meter * (priced.servers - free.servers)
    in_cars = free.cars + at_plug[:, None] * (priced.cars - free.cars)
    break_even = (in_cars - on_servers[:, None]) / free.worth
    wins = np.asarray(opportunity)[:, None, None] > break_even
    return Answer(wins.mean(axis=1), break_even)


@dataclass(frozen=True, slots=True)
class _Costs:
    """$/h of the whole demand at one place alone."""

    servers: float
    """At an opportunity cost of 0."""
    worth: float
    """More for each $/h of opportunity cost."""
    cars: Floats
    """By payout."""


def _costs(question: Question, price: float, payout: Sequence[float]) -> _Costs:
    """Where a kilowatt-hour costs `price` everywhere."""
    pools = [servers(f"servers-{worth}", price, worth) for worth in (0, 1)]
    fleets = [cars(f"cars-{at}", question.state, price, net) for at, net in enumerate(payout)]
    facts = snapshot(workload(question.model), region(), pools, fleets)
    found = {it.pool: it.cost_per_hour for it in alternatives(frame(facts, ECONOMICS, offline=True), 0)}
    idle, worth = (found[pool.key] for pool in pools)
    return _Costs(idle, worth - idle, np.array([found[fleet.key] for fleet in fleets]))


def snapshot(
    asked: InferenceWorkload,
    where: Region,
    pools: Sequence[TritonPool],
    fleets: Sequence[VehicleNodePool],
) -> Snapshot:
    """Nothing runs yet."""
    return Snapshot(
        now=NOW, term=0, mode="Observe", workloads=(asked,), regions=(where,),
        triton_pools=tuple(sorted(pools, key=lambda it: it.key)),
        vehicle_pools=tuple(sorted(fleets, key=lambda it: it.key)), cells=(),
    )  # fmt: skip


def workload(model: Model) -> InferenceWorkload:
    """A demand worth 40 servers; joules above idle and service times follow from the measured throughput."""
    speed = SPEEDS[model]
    profiles = [
        {"hardware": "orin", "serviceTime": _micros(1.0 / speed.car), "scv": "0.1"},
        {"hardware": "a100", "serviceTime": _micros(INSTANCES / speed.server), "scv": "0.1",
         "joules": f"{(MAX_WATTS - IDLE_WATTS) / speed.server:.9f}", "maxRatePerServer": f"{speed.server:.3f}"},
    ]  # fmt: skip
    return _parsed(
        InferenceWorkload, model, namespace="mlperf",
        spec={
            "model": {
                "name": model, "memory": "1Gi", "profiles": profiles,
                "artifacts": [{"source": f"https://models.example/{model}.onnx", "sha256": "0" * 64}],
            },
            "demand": [{"region": "us-ca", "rate": f"{WORTH * speed.server:.3f}"}],
            "latency": {"target": "2s"},
        },
    )  # fmt: skip


def _micros(seconds: float) -> str:
    return f"{seconds * 1e6:.4f}us"


def region(carbon_price: float = 0.0, grams: int = 0) -> Region:
    """California; `grams` of CO2 for a kilowatt-hour at `carbon_price` $ per tonne."""
    return _parsed(Region, "us-ca", spec={
        "jurisdiction": "US", "energyPrice": {"perKWh": "0"}, "carbonIntensity": {"gramsPerKWh": grams},
        "carbonPrice": {"perTonne": f"{carbon_price:.6f}"},
    })  # fmt: skip


def servers(name: str, price: float, opportunity: float) -> TritonPool:
    """64 A100 servers at `price` $/kWh, worth `opportunity` $/h each to others."""
    urls = [{"http": f"a100-{at}.example:8000", "grpc": f"a100-{at}.example:8001"} for at in range(SERVERS)]
    return _parsed(TritonPool, name, spec={
        "region": "us-ca", "endpoints": {"urls": urls},
        "power": {"idleWatts": IDLE_WATTS, "maxWatts": MAX_WATTS, "pue": PUE},
        "hardware": {"name": "a100", "memory": "80Gi", "instances": INSTANCES},
        "energyPrice": {"perKWh": f"{price:.9f}"}, "opportunityCost": {"perServerHour": f"{opportunity:.9f}"},
    })  # fmt: skip


def cars(name: str, state: State, price: float, payout: float) -> VehicleNodePool:
    """5,000 cars at home on WiFi, all in one state, whose owners pay `price` $/kWh and get `payout` $/h."""
    shares = {"charging": 100 if state == "Charging" else 0, "awake": 100 if state == "Awake" else 0}
    return _parsed(VehicleNodePool, name, spec={
        "region": "us-ca", "match": {"fleet": "homes", "hardware": "orin"}, "vehicles": CARS,
        "expected": {"pluggedIn": 100, "links": {"WiFi": 100}, **shares},
        "hardware": {"name": "orin", "memory": "8Gi", "slots": 1}, "power": CAR_WATTS,
        "energyPrice": {"perKWh": f"{price:.9f}"}, "payout": {"perComputeHour": f"{payout:.9f}"},
    })  # fmt: skip


def _parsed(kind: type[Kind], name: str, *, spec: Mapping[str, Any], **metadata: str) -> Kind:
    manifest = {"apiVersion": "parkade.dev/v1alpha1", "kind": kind.__name__, "spec": spec}
    found = parse(manifest | {"metadata": {"name": name, **metadata}})
    assert isinstance(found, kind)  # noqa: S101 -- parse goes by the kind
    return found
