"""The Kubernetes front doors of workloads: a Service, and EndpointSlices that name the routers behind it.

The same values say what should be there and what is there, so that a difference is an inequality.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One router in an EndpointSlice."""

    address: str
    """An IP address."""
    zone: str = ""
    """`topology.kubernetes.io/zone` of the router's node; empty where nobody says."""
    hint: str = ""
    """The zone whose callers it is meant for."""
    ready: bool = True


@dataclass(frozen=True, slots=True, order=True)
class SliceFace:
    """One EndpointSlice: routers of one address family that listen on the same ports."""

    workload: str
    """`namespace/name`."""
    name: str
    family: Literal["IPv4", "IPv6"]
    http: int
    grpc: int
    endpoints: tuple[Endpoint, ...]
    sound: bool = True
    """False where its labels no longer tie it to its Service."""


@dataclass(frozen=True, slots=True, order=True)
class ServicePort:
    """One port of a Service."""

    name: str
    port: int
    protocol: str
    """`appProtocol`."""


@dataclass(frozen=True, slots=True, order=True)
class ServiceFace:
    """A workload's Service."""

    workload: str
    """`namespace/name`; the Service has the same name."""
    ports: tuple[ServicePort, ...] = ()
    traffic: str = ""
    """`trafficDistribution`."""
    selects: bool = False
    """It has a selector, by which Kubernetes would put pods behind it."""


@dataclass(frozen=True, slots=True, order=True)
class RouteFace:
    """A route of the Gateway API with one rule."""

    kind: Literal["HTTPRoute", "GRPCRoute"]
    namespace: str
    name: str
    parent: str
    """The Gateway, `namespace/name` or `namespace/name/listener`."""
    hostnames: tuple[str, ...]
    """Empty: whatever the listener takes."""
    matches: tuple[str, ...]
    """`PathPrefix <path>`, `Exact <path>`, or `Service <name>` of gRPC."""
    backend: str
    """`service:port` in the route's own namespace."""
