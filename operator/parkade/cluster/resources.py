"""Where the API server keeps each kind that Parkade reads or writes."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind and its place in the API."""

    api: str
    """`group/version`, or `v1` for the core group."""
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Path of the collection (over all namespaces if none is given), of one object, or of its subresource."""
        root = f"/api/{self.api}" if "/" not in self.api else f"/apis/{self.api}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{scope}/{self.plural}{tail}"


_PARKADE: Final = "parkade.dev/v1alpha1"

WORKLOADS: Final = Resource(_PARKADE, "InferenceWorkload", "inferenceworkloads")
REGIONS: Final = Resource(_PARKADE, "Region", "regions", namespaced=False)
TRITON_POOLS: Final = Resource(_PARKADE, "TritonPool", "tritonpools", namespaced=False)
VEHICLE_POOLS: Final = Resource(_PARKADE, "VehicleNodePool", "vehiclenodepools", namespaced=False)
CELLS: Final = Resource(_PARKADE, "VehicleCell", "vehiclecells", namespaced=False)
GRID_EVENTS: Final = Resource(_PARKADE, "GridEvent", "gridevents", namespaced=False)

CONFIG_MAPS: Final = Resource("v1", "ConfigMap", "configmaps")
EVENTS: Final = Resource("v1", "Event", "events")
NODES: Final = Resource("v1", "Node", "nodes", namespaced=False)
PODS: Final = Resource("v1", "Pod", "pods")
SECRETS: Final = Resource("v1", "Secret", "secrets")
SERVICES: Final = Resource("v1", "Service", "services")
SLICES: Final = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
_GATEWAY: Final = "gateway.networking.k8s.io/v1"
ROUTES: Final = {
    "HTTPRoute": Resource(_GATEWAY, "HTTPRoute", "httproutes"),
    "GRPCRoute": Resource(_GATEWAY, "GRPCRoute", "grpcroutes"),
}
"""Of the Gateway API, where it is installed."""
LEASES: Final = Resource("coordination.k8s.io/v1", "Lease", "leases")

OWNED_KINDS: Final = {
    resource.kind: resource for resource in (WORKLOADS, REGIONS, TRITON_POOLS, VEHICLE_POOLS, CELLS, GRID_EVENTS)
}
"""Parkade's own kinds by name."""

FRONT_KINDS: Final = {resource.kind: resource for resource in (SERVICES, SLICES, *ROUTES.values())}
"""The ways in by name."""
