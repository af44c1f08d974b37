"""What an operator of Parkade may set: two frozen objects, read once and passed as arguments."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from parkade.errors import InvalidInput

RoundTrip = tuple[float, float]
"""p50 and p99 of a network round trip in seconds."""

LIMITS = ("zone_kilowatts", "uplink_megabits")
"""Fields of `Economics` that the environment may set: what a site has, not how plans are made."""


_WORDS = {
    "status_url": ("Service", "Router"),
    "observed_demand": ("Missing", "Larger"),
    "observed_times": ("Replace", "Ignore"),
}
"""Settings that are one of these words."""


@dataclass(frozen=True, slots=True)
class Economics:
    """Constants of the planning problem that no manifest gives; see `docs/placement.md` for each formula."""

    short_cost_factor: float = 10.0
    """A rate cover's shortfall costs (1 + priority/100) * this * the dearest arc's full cost per request/s."""
    structure_cost_factor: float = 0.5
    """minReplicas, spread and departure covers: this share of the rate cover's shortfall cost, per unit."""
    late_cost_factor: float = 3.0
    """A late arc adds this * the cheapest on-time cost per request/s."""
    late_utilisation: float = 0.9
    """Utilisation of an arc that cannot meet the target."""
    departure_quantile: float = 0.001
    """epsilon: share of moments in which more vehicles may leave than departure covers foresee; at 1 there are none."""
    departure_correlation: float = 0.1
    """r: how much alike the cars of a region leave, between 0 (each for itself) and 1 (all or none). An assumption: at
    the default departures it foresees 6 % of the cars in six minutes, where 0.7 % leave on average."""
    burst_factor: float = 1.25
    """A Triton instance takes at most this * its rate, and not above `late_utilisation`, until others are warm."""
    zone_kilowatts: Mapping[str, float] = field(default_factory=dict)
    """Power that Parkade may use in a grid zone (`Region.spec.gridZone`), kW; others are unlimited."""
    uplink_megabits: Mapping[str, float] = field(default_factory=dict)
    """Mbit/s that requests to cars and their answers may take in a region; others are unlimited."""
    wear_per_compute_hour: float = 0.01
    """$ per compute-hour of an Asleep or Awake car; 0 when Charging."""
    egress_per_gb: float = 0.05
    """$ per GB of answers leaving the datacenter."""
    new_replica_stay_hours: float = 1.0
    """Expected stay over which the cost of a move is spread."""
    churn_percent: int = 20
    """New replicas allowed in one plan, percent of those running; the first placements are free."""
    region_round_trip: RoundTrip = (0.008, 0.015)
    """Within a region, when `Region.spec.latency` does not say."""
    link_round_trip: Mapping[str, RoundTrip] = field(
        default_factory=lambda: {
            "Ethernet": (0.012, 0.025),
            "WiFi": (0.018, 0.060),
            "Starlink": (0.045, 0.110),
            "Cellular": (0.075, 0.330),
        }
    )
    """Offline round trips by link; observed values replace them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How this operator process runs; environment variables `PARKADE_<NAME>`."""

    namespace: str = "parkade-system"
    """Where the Lease, the settings ConfigMap and the ConfigMaps and Secrets of cluster-scoped kinds live."""
    identity: str = ""
    """This replica's name in the Lease; default: host name and process id."""
    model_store: str = "file:///var/lib/parkade/models"
    """fsspec URL of the store in which artifacts are staged by digest; carlet serves the same store."""
    status_url: Literal["Service", "Router"] = "Service"
    """What `status.url` names: the workload's Service, or the router's own address where no kube-proxy runs."""
    services: bool = True
    """Each workload has a Service with the routers behind it."""
    gateway: str = ""
    """`namespace/name[/listener]` of the Gateway on which each workload has an HTTPRoute; empty: none."""
    grpc_gateway: str = ""
    """The same for the GRPCRoute that all workloads have in common."""
    gateway_hostname: str = ""
    """Host name of a workload's HTTPRoute, with `{name}` and `{namespace}`; empty: whatever the listener takes."""
    kube_qps: float = 50.0
    """Requests a second that the Kubernetes client may send."""
    kube_burst: int = 100
    metrics_port: int = 9464
    health_port: int = 9465
    resync: float = 10.0
    """Seconds after which the cycle looks though nothing woke it; it notices a Triton that was restarted."""
    observe_seconds: float = 5.0
    """Between two readings of what routers observed."""
    observed_demand: Literal["Missing", "Larger"] = "Missing"
    """Missing: only workloads without `spec.demand` are planned from what routers observe; Larger: in each region the
    larger of the manifest's rate and the observed one counts."""
    observed_times: Literal["Replace", "Ignore"] = "Replace"
    """Replace: times that routers observed are planned with in place of those of `model.profiles`, by hardware and as
    soon as there are enough; Ignore: they are only shown."""
    solve_seconds: float = 10.0
    """A solve is cut short after this long, and its best plan so far is used; a plan may take three solves. Problems
    that end by their work limit, as all but huge ones do, are solved alike on every machine."""
    lease_seconds: float = 15.0
    """A standby takes over this long after the leader's last renewal."""
    economics: Economics = Economics()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read `PARKADE_<NAME>` variables; unknown ones and unreadable values are refused with a sentence.

        Raises:
            InvalidInput: a variable is unknown or its value cannot be read.
        """
        defaults = cls()
        chosen: dict[str, str | float | int] = {}
        limits: dict[str, Mapping[str, float]] = {}
        for variable, text in environment.items():
            if not variable.startswith("PARKADE_") or variable.startswith("PARKADE_ROUTER_"):
                continue
            name = variable.removeprefix("PARKADE_").lower()
            if name in LIMITS:
                limits[name] = _numbers(variable, text)
                continue
            if name == "economics" or name not in cls.__dataclass_fields__:
                raise InvalidInput(f"{variable} is not a setting; see docs/settings.md for those that are")
            if isinstance(getattr(defaults, name), bool):
                chosen[name] = _flag(variable, text)
                continue
            try:
                chosen[name] = type(getattr(defaults, name))(text)
            except ValueError:
                raise InvalidInput(f"{variable}={text!r} is not a number; unset it for the default") from None
        for name, words in _WORDS.items():
            if chosen.get(name, words[0]) not in words:
                raise InvalidInput(f"PARKADE_{name.upper()} must be {' or '.join(words)}")
        _check_gateways(chosen)
        if not chosen.get("services", True) and chosen.get("status_url", "Service") == "Service":
            raise InvalidInput(
                "PARKADE_SERVICES=false leaves no Service to name; set PARKADE_STATUS_URL=Router with it"
            )
        return cls(**chosen, economics=Economics(**limits))  # type: ignore[arg-type]  # checked against the fields


def _check_gateways(chosen: Mapping[str, object]) -> None:
    for name in ("gateway", "grpc_gateway"):
        if not re.fullmatch(r"|[a-z0-9-]+(/[a-z0-9.-]+){1,2}", text := str(chosen.get(name, ""))):
            raise InvalidInput(f"PARKADE_{name.upper()}={text!r} is not namespace/name or namespace/name/listener")
    if chosen.get("gateway") and not chosen.get("services", True):
        raise InvalidInput("PARKADE_GATEWAY leads to Services; set PARKADE_SERVICES=true with it")
    if not re.fullmatch(r"|([a-z0-9.-]|\{name\}|\{namespace\})+", text := str(chosen.get("gateway_hostname", ""))):
        raise InvalidInput(f"PARKADE_GATEWAY_HOSTNAME={text!r} is no host name; write for example {{name}}.example.com")


def _flag(variable: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise InvalidInput(f"{variable}={text!r} is neither true nor false; write one of them")
    return text.lower() == "true"


def _numbers(variable: str, text: str) -> dict[str, float]:
    """Read `name=number,name=number`."""
    found = {}
    for entry in filter(None, text.split(",")):
        name, _, number = entry.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            found[name.strip()] = math.nan
        if not name.strip() or not 0.0 <= found[name.strip()] < math.inf:
            raise InvalidInput(f"{variable}={text!r} is not name=number,name=number; write for example us-ca=500")
    return found
