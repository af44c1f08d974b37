"""How callers reach workloads: a Service for each, and EndpointSlices with the routers that live."""

from dataclasses import dataclass, replace
from ipaddress import ip_address
from itertools import groupby
from typing import Final, Literal

from parkade.api import InferenceWorkload
from parkade.changes.changes import ApplyService, ApplySlice, DeleteFront
from parkade.changes.comparison import Comparison, is_deleted, target_of
from parkade.snapshot import Endpoint, RouterAddress, ServiceFace, ServicePort, SliceFace, Snapshot

UrlKind = Literal["Service", "Router"]

HTTP_PORT: Final = 8000
GRPC_PORT: Final = 8001
PORTS: Final = (ServicePort("http", HTTP_PORT, "http"), ServicePort("grpc", GRPC_PORT, "kubernetes.io/h2c"))
TRAFFIC: Final = "PreferClose"
"""`trafficDistribution`: the value that every Kubernetes since 1.30 knows; `PreferSameZone` is its newer name."""
_ENDPOINTS: Final = 1000
"""What the API server takes in one EndpointSlice."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where routes of the Gateway API hang; all empty for none."""

    http: str = ""
    """`namespace/name[/listener]` for HTTPRoutes."""
    grpc: str = ""
    """The same for the GRPCRoute."""
    hostname: str = ""
    """Host name of a workload with `{name}` and `{namespace}` in it; empty: whatever the listener takes."""


@dataclass(frozen=True, slots=True)
class Fronts:
    """What a site wants of the ways in; from the settings."""

    urls: UrlKind = "Service"
    """What `status.url` names."""
    services: bool = True
    """Each workload has a Service."""
    gateway: Gateway = Gateway()
    namespace: str = "parkade-system"
    """Of the operator and the routers' Service."""


def front_steps(comparison: Comparison, fronts: Fronts) -> tuple[ApplyService | ApplySlice | DeleteFront, ...]:
    """Services and slices that are missing or differ from what they should be, then those that should not be."""
    snapshot = comparison.snapshot
    workloads = [w for w in snapshot.workloads if not is_deleted(w)] if fronts.services else []
    present, behind = {face.workload: face for face in snapshot.services}, _endpoint_slices(snapshot)
    pieces = {(face.workload, face.name): face for face in snapshot.slices}
    services, slices, wanted = list[ApplyService](), list[ApplySlice](), set[tuple[str, str]]()
    for workload in workloads:
        face = ServiceFace(workload.key, PORTS, TRAFFIC)
        if present.get(workload.key) != face:
            services.append(ApplyService(target_of(workload), workload.key in present, face))
        for piece in (_of(workload, piece) for piece in behind):
            wanted.add((piece.workload, piece.name))
            if pieces.get((piece.workload, piece.name)) != piece:
                slices.append(ApplySlice(target_of(workload), piece))
    gone = [_deletion("EndpointSlice", *key) for key in sorted(pieces.keys() - wanted)]
    if not fronts.services:
        gone += [_deletion("Service", key, key.partition("/")[2]) for key in sorted(present)]
    return (*services, *slices, *gone)


def _endpoint_slices(snapshot: Snapshot) -> tuple[SliceFace, ...]:
    """The slices behind every Service, for a workload without a name.

    When no router lives, those that fell silent together stay: an API server that took no renewals must not empty
    the Services, and nobody else would answer. A router that leaves deletes its Lease.
    """
    routers = snapshot.routers or snapshot.silent_routers
    found = sorted(_endpoint(router) for router in routers if not unreachable(router))
    return tuple(
        SliceFace(
            "", f"{family.lower()}-{http}-{grpc}", family, http, grpc, tuple(row for *_, row in rows)[:_ENDPOINTS]
        )
        for (family, http, grpc), rows in groupby(found, key=lambda row: row[:3])
    )


def _of(workload: InferenceWorkload, piece: SliceFace) -> SliceFace:
    return replace(piece, workload=workload.key, name=f"{workload.metadata.name}-{piece.name}")


def _deletion(front: str, workload: str, name: str) -> DeleteFront:
    return DeleteFront(front, workload.partition("/")[0], name)


def unreachable(router: RouterAddress) -> str:
    """Why an EndpointSlice cannot name a router, as a sentence; empty when it can."""
    http, grpc = _split(router.http), _split(router.grpc)
    say = "start it with --advertise-http and --advertise-grpc as IP:PORT"
    try:
        address = ip_address(http[0])
    except ValueError:
        return f"the router {router.id} is at {router.http}, which is no IP address; {say}"
    if address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast:
        return f"the router {router.id} is at {router.http}, which other machines cannot reach; {say}"
    if grpc[0] != http[0] or not http[1] or not grpc[1]:
        return f"the router {router.id} is at {router.http} and {router.grpc or 'nowhere'} for gRPC; {say} of one host"
    return ""


def _endpoint(router: RouterAddress) -> tuple[Literal["IPv4", "IPv6"], int, int, Endpoint]:
    host, http = _split(router.http)
    family: Literal["IPv4", "IPv6"] = "IPv6" if ":" in host else "IPv4"
    return family, http, _split(router.grpc)[1], Endpoint(host, router.zone, router.zone)


def _split(address: str) -> tuple[str, int]:
    """Host and port; port 0 where there is none."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port) if port.isascii() and port.isdigit() and int(port) < 65536 else 0
