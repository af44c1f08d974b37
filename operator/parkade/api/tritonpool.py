"""TritonPool: equal Triton servers in one region, and what they are worth to others."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from parkade.api.base import (
    AGE,
    Column,
    Conditions,
    Count,
    Definition,
    EnergyPrice,
    Entries,
    Listed,
    Part,
    Percent,
    Resource,
    SecretRef,
    StatusPart,
    Url,
    Watts,
    condition_column,
)
from parkade.api.rules import Rule, Rules, cel_exactly_one, cel_matches
from parkade.api.values import Amount, FrozenMap, HostPort, Name, PositiveQuantity, Text, matching
from parkade.units import DECIMAL_PATTERN

Port = Annotated[int, Field(ge=1, le=65535)]


class Schedule(Text):
    """Five cron fields."""

    __slots__ = ()
    longest = 64
    rules: ClassVar[Rules] = (
        matching(
            r"^[0-9*,/-]+( [0-9*,/-]+){4}$",
            'must be five cron fields (minute hour day month weekday) such as "0 8-20 * * 1-5"',
        ),
    )


class PowerUsageEffectiveness(Amount):
    """Facility power over computer power: at least 1."""

    __slots__ = ()
    rules: ClassVar[Rules] = (
        *Amount.rules,
        Rule(
            'must be at least 1: it is facility power over computer power, such as "1.25"',
            f"!{cel_matches('self', DECIMAL_PATTERN)} || double(self) >= 1.0",
            lambda text: float(text) >= 1.0,
        ),
    )


class Selector(Part):
    """Pods that run Triton."""

    namespace: Name
    """Namespace of the pods."""
    match_labels: Annotated[FrozenMap[Annotated[str, Field(max_length=63)]], Entries(least=1, most=16)]
    """Labels that the pods carry."""


class ServerUrl(Part):
    """One Triton server by its addresses."""

    http: HostPort
    """host:port of KServe v2 over HTTP."""
    grpc: HostPort
    """host:port of KServe v2 over gRPC."""


class Endpoints(Part):
    """Where the servers are: pods by labels, or addresses."""

    selector: Selector | None = None
    """Pods that run Triton in this cluster."""
    urls: Annotated[tuple[ServerUrl, ...], Listed(least=1, most=256, keys=("http",))] | None = None
    """Addresses of servers, in or outside the cluster."""
    http_port: Port = 8000
    """HTTP port of selected pods."""
    grpc_port: Port = 8001
    """gRPC port of selected pods."""

    rules = (
        Rule(
            "set exactly one of selector (pods in this cluster) and urls (addresses); remove the other",
            cel_exactly_one("selector", "urls"),
            lambda it: (it.selector is None) != (it.urls is None),
        ),
    )


class ModelRepository(Part):
    """Where the servers read models, and how they run them."""

    repository: Url = Url("")
    """The servers' model repository as the operator reaches it; models go there as NAME/VERSION, loaded by name.
    Default: files ride on the load call, at most 32Mi each, and are lost when the server restarts."""
    backend: Literal["onnxruntime", "python"] = "onnxruntime"
    """Runtime template: Triton's ONNX Runtime backend, or its Python backend with onnxruntime inside."""


class ServerHardware(Part):
    """What one server has."""

    name: Name
    """Hardware name, as profiles and artifacts use it."""
    memory: PositiveQuantity
    """Memory for models of one server."""
    instances: Annotated[int, Field(ge=1, le=1024)] = 1
    """Model instances that one server may run at a time."""


class ServerPower(Part):
    """What one server draws."""

    idle_watts: Watts = 0
    """Switched on, without requests."""
    max_watts: Watts
    """Fully used."""
    pue: PowerUsageEffectiveness = PowerUsageEffectiveness("1.25")
    """Power usage effectiveness of the building."""

    rules = (
        Rule(
            "must be at least idleWatts; swap them or measure again",
            "self.maxWatts >= self.idleWatts",
            lambda power: power.max_watts >= power.idle_watts,
            field="maxWatts",
        ),
    )


class OpportunityCost(Part):
    """What a server is worth when it does something else."""

    per_server_hour: Amount = Amount("0")
    """$ per server-hour: its worth to others, or its rent. At "0" a car is hardly ever chosen."""


class KeepFree(Part):
    """Servers kept for others, such as training; inference harvests the rest."""

    percent: Percent
    """Percent of the servers."""
    schedule: Schedule = Schedule("* * * * *")
    """Cron hours, UTC, in which they are kept; always by default."""


class Battery(Part):
    """A battery behind the same meter."""

    capacity_kwh: Annotated[int, Field(ge=1, le=10_000_000)]
    """Usable energy, kWh."""
    power_kw: Annotated[int, Field(ge=1, le=10_000_000)]
    """Charging and discharging power, kW."""
    round_trip_percent: Annotated[int, Field(ge=1, le=100)] = 91
    """Energy out over energy in."""
    reserve_percent: Percent = 20
    """Charge that is never sold."""


class TritonPoolSpec(Part):
    """Servers alike, their place and their worth."""

    region: Name
    """Region of the servers."""
    endpoints: Endpoints
    """Where the servers are: pods by labels, or addresses."""
    models: ModelRepository = ModelRepository()
    """Where the servers read models, and how they run them."""
    control_secret_ref: SecretRef | None = None
    """Secret in the operator's namespace with the headers of Triton's restricted model-control API: keys `header` and
    `value`, or each key a header's name."""
    hardware: ServerHardware
    """What one server has."""
    power: ServerPower
    """What one server draws."""
    energy_price: EnergyPrice | None = None
    """What a kilowatt-hour costs at this meter; default: the region's."""
    opportunity_cost: OpportunityCost = OpportunityCost()
    """What a server is worth when it does something else; "0" by default."""
    keep_free: KeepFree | None = None
    """Servers kept for others."""
    battery: Battery | None = None
    """A battery behind the same meter."""


class TritonPoolStatus(StatusPart):
    """What the servers answer."""

    servers: Count = 0
    """Servers known."""
    ready: Count = 0
    """Servers that answer."""
    models: Count = 0
    """Models that are loaded, over all servers."""
    conditions: Conditions = ()
    """Ready, FieldsHonoured; each with a reason and a sentence."""


class TritonPool(Resource):
    """Equal Triton servers in one region; cluster-scoped."""

    definition = Definition(
        plural="tritonpools",
        short="tp",
        columns=(
            Column("Region", ".spec.region"),
            condition_column("Ready"),
            Column("Hardware", ".spec.hardware.name"),
            Column("Servers", ".status.servers", "integer"),
            Column("Answering", ".status.ready", "integer"),
            Column("Models", ".status.models", "integer"),
            Column("$/server-h", ".spec.opportunityCost.perServerHour"),
            Column("Repository", ".spec.models.repository", wide=True),
            condition_column("FieldsHonoured", wide=True),
            AGE,
        ),
    )

    kind: Literal["TritonPool"] = "TritonPool"
    spec: TritonPoolSpec
    status: TritonPoolStatus = TritonPoolStatus()
