"""Routes of the Gateway API: HTTP by the model's name in the path, gRPC to the routers in common.

Over gRPC the model's name is in the message and every model is asked by the same method, so that one route is right for
all: whichever router gets the call reads the name. The Gateway API lets an HTTPRoute and a GRPCRoute with the same host
names not share a listener, so each kind has a parent of its own.
"""

from dataclasses import dataclass, replace
from typing import Final

from parkade.api import InferenceWorkload
from parkade.changes.changes import ApplyRoute, DeleteFront
from parkade.changes.comparison import Comparison, is_deleted, target_of
from parkade.changes.fronts import GRPC_PORT, HTTP_PORT, Fronts
from parkade.snapshot import RouteFace

ROUTERS: Final = "parkade-router"
"""The Service of all routers in the operator's namespace, which the chart makes; the common routes have its name."""
_SERVER: Final = ("Exact /v2", "PathPrefix /v2/health")
"""What is asked of a server rather than of a model."""
_GRPC_SERVICE: Final = "Service inference.GRPCInferenceService"


@dataclass(frozen=True, slots=True)
class _Wanted:
    face: RouteFace
    workload: InferenceWorkload | None = None


def route_steps(comparison: Comparison, fronts: Fronts) -> tuple[ApplyRoute | DeleteFront, ...]:
    """Routes that are missing or differ, then those that should not be; none where the Gateway API is not installed."""
    routes = comparison.snapshot.routes
    if routes is None:
        return ()
    there = {_key(face): face for face in routes}
    wanted = {_key(route.face): route for route in _wanted(comparison, fronts)}
    applied = tuple(
        ApplyRoute(target_of(route.workload) if route.workload else None, key in there, route.face)
        for key, route in sorted(wanted.items())
        if there.get(key) != route.face
    )
    return (*applied, *(DeleteFront(*key) for key in sorted(there.keys() - wanted)))


def _key(face: RouteFace) -> tuple[str, str, str]:
    return face.kind, face.namespace, face.name


def _wanted(comparison: Comparison, fronts: Fronts) -> list[_Wanted]:
    gateway, found = fronts.gateway, list[_Wanted]()
    if gateway.http:
        found += [
            _Wanted(_by_path(workload, fronts), workload)
            for workload in comparison.snapshot.workloads
            if not is_deleted(workload) and comparison.owners.get(workload.spec.model.name) == workload.key
        ]
    common = RouteFace("HTTPRoute", fronts.namespace, ROUTERS, gateway.http, (), _SERVER, f"{ROUTERS}:{HTTP_PORT}")
    if gateway.http and not gateway.hostname:
        found.append(_Wanted(common))
    if gateway.grpc:
        calls = replace(common, kind="GRPCRoute", parent=gateway.grpc, matches=(_GRPC_SERVICE,))
        found.append(_Wanted(replace(calls, backend=f"{ROUTERS}:{GRPC_PORT}")))
    return found


def _by_path(workload: InferenceWorkload, fronts: Fronts) -> RouteFace:
    """A workload's own route; with a host name of its own it also answers what is asked of a server."""
    name, namespace, gateway = workload.metadata.name, workload.metadata.namespace, fronts.gateway
    hostnames = (gateway.hostname.format(name=name, namespace=namespace),) if gateway.hostname else ()
    matches = (f"PathPrefix /v2/models/{workload.spec.model.name}", *(_SERVER if hostnames else ()))
    return RouteFace("HTTPRoute", namespace, name, gateway.http, hostnames, matches, f"{name}:{HTTP_PORT}")
