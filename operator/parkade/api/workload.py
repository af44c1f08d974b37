"""InferenceWorkload: a model, who asks it how often, how fast it must answer, and where it may run."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from parkade.api.base import (
    AGE,
    Column,
    Conditions,
    Count,
    Definition,
    Line,
    Listed,
    Part,
    Percent,
    Resource,
    SecretRef,
    StatusPart,
    Tier,
    Url,
    condition_column,
)
from parkade.api.observed import Observed
from parkade.api.rules import Rule, Rules, Transition, cel_is_duration, cel_is_quantity
from parkade.api.values import (
    Amount,
    Instant,
    Jurisdiction,
    Name,
    NameOrAny,
    PositiveAmount,
    PositiveDuration,
    PositiveQuantity,
    Quantity,
    Sha256,
    Text,
    matching,
)
from parkade.units import in_bytes

RETRY_BUFFER = in_bytes("8Mi")
"""Bytes of one request that the router keeps for another try; a larger one cannot be sent to a car that may leave."""


SERVICE_NAME = matching(
    r"^[a-z]([-a-z0-9]*[a-z0-9])?$",
    "metadata.name must begin with a letter and hold lower-case letters, digits and '-' only, at most 63 of "
    "them: the workload's Service has the same name",
)


class ModelName(Text):
    """What clients call in /v2/models/NAME."""

    __slots__ = ()
    longest = 63
    rules: ClassVar[Rules] = (
        matching(
            r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$",
            "must be letters, digits, '_', '.' and '-', beginning and ending with a letter or digit",
        ),
    )


class Artifact(Part):
    """One file of the model and the hardware it is made for."""

    hardware: Annotated[tuple[NameOrAny, ...], Listed(least=1, most=16, unique=True)] = (NameOrAny("*"),)
    """Hardware names, as pools declare them; "*" is any hardware that no other artifact names."""
    format: Literal["onnx", "tensorrt"] = "onnx"
    """What the file is: an ONNX model, or a TensorRT plan built for the hardware named."""
    source: Url
    """Where to fetch it once: https, file, or any other URL that fsspec reads with its package beside the operator,
    such as s3fs for s3 and gcsfs for gs."""
    sha256: Sha256
    """Digest of the file, as sha256sum prints it; other bytes are refused."""
    secret_ref: SecretRef | None = None
    """Secret in the workload's namespace with the source's credentials: each key is an fsspec storage option, such as
    `key` and `secret` for s3; a value that begins with { is read as JSON, such as `headers` for https."""


class Profile(Part):
    """How the model runs on one piece of hardware, measured; observed values replace it."""

    hardware: Name
    """Hardware name, as pools declare it."""
    service_time: PositiveDuration
    """Mean time of one request alone on the hardware, without waiting and network."""
    scv: Amount = Amount("1")
    """Squared coefficient of variation of the service time: 0 is constant, 1 is exponential."""
    joules: Amount | None = None
    """Energy of one request above idle; default: the hardware's power times the service time."""
    max_rate_per_server: PositiveAmount | None = None
    """Requests per second of one Triton server at best throughput within the target; default: 1/serviceTime."""


class Model(Part):
    """What is served, from which files, and what it needs."""

    name: ModelName
    """What clients call in /v2/models/NAME; unique in the cluster, the oldest workload keeps it."""
    artifacts: Annotated[tuple[Artifact, ...], Listed(least=1, most=8)]
    """Files, per hardware where they differ."""
    memory: PositiveQuantity
    """Memory of one loaded replica."""
    profiles: Annotated[tuple[Profile, ...], Listed(most=16, keys=("hardware",))] = ()
    """Measured speed and energy by hardware; hardware without a profile, and never observed, is not used."""

    rules = (
        Rule(
            "names a piece of hardware in two artifacts; keep it in one of them",
            "self.artifacts.all(a, a.hardware.all(h, self.artifacts.exists_one(b, h in b.hardware)))",
            lambda model: (
                len({h for a in model.artifacts for h in a.hardware}) == sum(len(a.hardware) for a in model.artifacts)
            ),
            field="artifacts",
        ),
    )
    transitions = (
        Transition(
            "cannot change, because clients call the model by it; delete the workload and create it anew",
            "self.name == oldSelf.name",
            lambda new, old: new.name == old.name,
            field="name",
        ),
    )


class Demand(Part):
    """How often callers of one region ask."""

    region: Name
    """Where the callers are."""
    rate: Amount
    """Requests per second to plan for."""


class Latency(Part):
    """How fast answers must be, from the caller's side."""

    percentile: Annotated[int, Field(ge=50, le=99)] = 99
    """Share of requests, in percent, that must be answered within the target."""
    target: PositiveDuration
    """Time from request to answer, network included."""
    timeout: PositiveDuration = PositiveDuration("2s")
    """A request not answered in this time fails; retries at other places happen within it."""

    rules = (
        Rule(
            "must be at least the target (2s by default); raise timeout or lower target",
            f"!({cel_is_duration('self.timeout', 'self.target')}) || duration(self.timeout) >= duration(self.target)",
            lambda latency: latency.timeout.seconds >= latency.target.seconds,
            field="timeout",
        ),
    )


class Payload(Part):
    """Bytes of one request and its answer: the price of a byte often decides where a model runs."""

    request: Quantity = Quantity("64Ki")
    """Bytes of a typical request; over 8Mi the model can run in the Datacenter only."""
    response: Quantity = Quantity("4Ki")
    """Bytes of a typical answer."""


class Placement(Part):
    """Where replicas may run, how many at least, and how far apart."""

    tiers: Annotated[tuple[Tier, ...], Listed(least=1, most=2, unique=True)] = ("Vehicle", "Datacenter")
    """Vehicle = parked cars, Datacenter = Triton pools; the cheaper one that meets the target is chosen."""
    jurisdictions: Annotated[tuple[Jurisdiction, ...], Listed(most=32, unique=True)] = ()
    """Jurisdictions of the regions that may see payloads; empty: any."""
    min_replicas: Annotated[int, Field(ge=0, le=100_000)] = 1
    """Replicas to keep ready whatever the demand; `kubectl scale` sets it."""
    spread: Annotated[int, Field(ge=1, le=8)] = 1
    """Survive the loss of any one region with at most 1/spread of the capacity lost; 1 = no such wish."""


class Trust(Part):
    """Who may see payloads, and how cars are checked."""

    fleets: Annotated[tuple[Name, ...], Listed(most=32, unique=True)] = ()
    """Fleets whose cars may see payloads; empty: any."""
    verify_percent: Percent = 0
    """Share of car answers that Triton computes again to compare."""
    tolerance: Amount = Amount("0.001")
    """Largest relative difference between two right answers."""


class Batch(Part):
    """A finite amount of work with a deadline, instead of demand and latency."""

    items: Annotated[int, Field(ge=1, le=1_000_000_000_000)]
    """How many items there are."""
    deadline: Instant
    """When all must be done."""
    source: Url
    """Where the items are: the user's own storage, or vehicle://NAME for what is in the car already."""
    results: Url
    """Where results go: the user's own storage."""
    keep: Annotated[str, Field(max_length=256)] = ""
    """What counts as a hit, such as `score > 0.8`; empty: every result is kept."""
    max_rate: PositiveAmount | None = None
    """Items per second at most; default: no limit."""
    max_tries: Annotated[int, Field(ge=1, le=100)] = 3
    """Tries of one item before it is given up and reported."""


class WorkloadSpec(Part):
    """What the user wants served."""

    suspend: bool = False
    """Stop serving and free every place; the object and its settings stay."""
    model: Model
    """What is served, from which files, and what it needs."""
    demand: Annotated[tuple[Demand, ...], Listed(least=1, most=64, keys=("region",))] | None = None
    """Requests per second by where callers are; excludes batch. Without it, what routers observe counts."""
    latency: Latency | None = None
    """How fast answers must be; needed without batch."""
    payload: Payload = Payload()
    """Bytes of one request and its answer."""
    placement: Placement = Placement()
    """Where replicas may run, how many at least, and how far apart."""
    trust: Trust = Trust()
    """Who may see payloads, and how cars are checked."""
    priority: Annotated[int, Field(ge=0, le=1000)] = 100
    """Higher keeps its target longer when there is too little capacity, and through grid events."""
    batch: Batch | None = None
    """A finite amount of work with a deadline, instead of demand and latency."""

    rules = (
        Rule(
            "keep one of demand (requests that arrive) and batch (items to work through)",
            "!has(self.demand) || !has(self.batch)",
            lambda spec: spec.demand is None or spec.batch is None,
        ),
        Rule(
            "set latency.target: a workload that answers requests needs it",
            "has(self.batch) || has(self.latency)",
            lambda spec: spec.batch is not None or spec.latency is not None,
        ),
        Rule(
            "remove latency: a batch has a deadline instead",
            "!has(self.batch) || !has(self.latency)",
            lambda spec: spec.batch is None or spec.latency is None,
            field="latency",
        ),
        Rule(
            "over 8Mi cannot be tried again at another car; set placement.tiers to [Datacenter] or send less",
            f"!{cel_is_quantity('self.payload.request')} || "
            "quantity(self.payload.request).compareTo(quantity('8Mi')) <= 0 || !('Vehicle' in self.placement.tiers)",
            lambda spec: spec.payload.request.bytes <= RETRY_BUFFER or "Vehicle" not in spec.placement.tiers,
            field="payload.request",
        ),
    )


class Endpoint(StatusPart):
    """One Triton server that answered a probe for this model."""

    http: Line
    """host:port."""
    grpc: Line
    """host:port."""
    replicas: Count = 1
    """Instances of the model on the server."""


class Placed(StatusPart):
    """One place that may receive requests."""

    place: Line
    """A cell or a Triton pool."""
    tier: Tier
    """Parked cars or Triton servers."""
    replicas: Count = 0
    """Replicas planned there."""
    share: Percent = 0
    """Percent of the expected rate."""
    reason: Line = ""
    """Why it is there."""
    region: Line = ""
    """Where it is."""
    jurisdiction: Line = ""
    """The region's; routers use no place outside of spec.placement.jurisdictions."""
    endpoints: Annotated[tuple[Endpoint, ...], Listed(most=256)] = ()
    """Datacenter only."""


class Expected(StatusPart):
    """What the plan foresees."""

    p99: Line = ""
    """Duration from request to answer at the workload's percentile."""
    cost_per_hour: Line = ""
    """$ per hour."""
    watts: Count = 0
    """At the plug, above what would be used anyway."""
    grams_co2_per_hour: Count = 0
    """Of the same energy, at the marginal intensity of its place."""


class PlanQuality(StatusPart):
    """How good the plan is."""

    gap: Line = ""
    """Largest possible distance from the cheapest plan, as a ratio."""
    solved_at: Line = ""
    """When."""


class WorkloadStatus(StatusPart):
    """What the operator did about it."""

    observed_generation: Count = 0
    """The generation that the last plan read."""
    url: Line = ""
    """host:port of the KServe v2 HTTP front door."""
    grpc_url: Line = ""
    """host:port of the KServe v2 gRPC front door."""
    model_name: Line = ""
    """The name to call; empty while another workload has it."""
    replicas: Count = 0
    """Replicas that are ready."""
    selector: Line = ""
    """Label selector of the workload's pods, for `kubectl scale` and autoscalers."""
    placements: Annotated[tuple[Placed, ...], Listed(most=1024)] = ()
    """Places that may receive requests, ordered by preference."""
    expected: Expected = Expected()
    """What the plan foresees."""
    observed: Observed = Observed()
    """What routers and servers saw lately."""
    plan: PlanQuality = PlanQuality()
    """How good the plan is."""
    conditions: Conditions = ()
    """Placed, Ready, SLOMet, FieldsHonoured; each with a reason and a sentence."""


class InferenceWorkload(Resource):
    """A model to be served where it is cheapest to serve it well."""

    definition = Definition(
        plural="inferenceworkloads",
        short="iw",
        namespaced=True,
        scale=(".spec.placement.minReplicas", ".status.replicas", ".status.selector"),
        columns=(
            Column("Model", ".spec.model.name"),
            condition_column("Placed"),
            condition_column("Ready"),
            condition_column("SLOMet"),
            Column("Replicas", ".status.replicas", "integer"),
            Column("Place", ".status.placements[0].place"),
            Column("Why", ".status.placements[0].reason"),
            Column("p99", ".status.expected.p99"),
            Column("$/h", ".status.expected.costPerHour"),
            Column("Rate/s", ".status.observed.rate", wide=True),
            Column("Seen p99", ".status.observed.p99", wide=True),
            Column("Failed", ".status.observed.failed", wide=True),
            Column("URL", ".status.url", wide=True),
            Column("gRPC", ".status.grpcUrl", wide=True),
            condition_column("FieldsHonoured", wide=True),
            AGE,
        ),
    )

    kind: Literal["InferenceWorkload"] = "InferenceWorkload"
    spec: WorkloadSpec
    status: WorkloadStatus = WorkloadStatus()

    rules = (
        Rule(
            SERVICE_NAME.message,
            "self.metadata.name.size() <= 63 && " + SERVICE_NAME.cel.replace("self", "self.metadata.name", 1),
            lambda it: len(it.metadata.name) <= 63 and SERVICE_NAME.holds(it.metadata.name),
        ),
    )
