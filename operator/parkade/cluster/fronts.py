"""Services and EndpointSlices of workloads on the wire: read into the values of `snapshot`, and written from them."""

from typing import Final

from parkade.changes import ApplyService, ApplySlice
from parkade.cluster.client import Json
from parkade.cluster.manifests import beside
from parkade.cluster.resources import SERVICES, SLICES
from parkade.snapshot import Endpoint, ServiceFace, ServicePort, SliceFace

OURS: Final = "parkade.dev/workload"
"""The label that Services and EndpointSlices of ours carry: the workload's name."""
MANAGED: Final = {"app.kubernetes.io/managed-by": "parkade", "app.kubernetes.io/part-of": "parkade"}
_SERVICE_NAME: Final = "kubernetes.io/service-name"
_SLICE_MANAGED: Final = {"endpointslice.kubernetes.io/managed-by": "parkade"}
"""Tells Kubernetes' own controllers to leave the slice alone."""


def _key(item: Json) -> str:
    meta = item["metadata"]
    return f"{meta['namespace']}/{meta['labels'][OURS]}"


def service_face(item: Json) -> ServiceFace | None:
    """A workload's Service; None for one with our label and another name, which is somebody else's."""
    if item["metadata"]["name"] != item["metadata"]["labels"][OURS]:
        return None
    spec = item.get("spec") or {}
    ports = tuple(ServicePort(p.get("name", ""), p["port"], p.get("appProtocol", "")) for p in spec.get("ports") or ())
    return ServiceFace(_key(item), ports, spec.get("trafficDistribution", ""), bool(spec.get("selector")))


def slice_face(item: Json) -> SliceFace:
    """An EndpointSlice of a workload's Service."""
    labels, ports = item["metadata"]["labels"], {p.get("name"): p.get("port") or 0 for p in item.get("ports") or ()}
    tied = {_SERVICE_NAME: labels[OURS]} | _SLICE_MANAGED
    return SliceFace(
        workload=_key(item),
        name=item["metadata"]["name"],
        family=item["addressType"],
        http=ports.get("http", 0),
        grpc=ports.get("grpc", 0),
        endpoints=tuple(_endpoint_face(row) for row in item.get("endpoints") or ()),
        sound=tied.items() <= labels.items() and ports.keys() == {"http", "grpc"},
    )


def _endpoint_face(row: Json) -> Endpoint:
    hints = (row.get("hints") or {}).get("forZones") or ()
    return Endpoint(
        address=",".join(row.get("addresses") or ()),
        zone=row.get("zone", ""),
        hint=",".join(hint["name"] for hint in hints),
        ready=bool((row.get("conditions") or {}).get("ready")),
    )


def service(change: ApplyService) -> Json:
    """The workload's Service; no selector, because what is behind it are routers."""
    ports = [
        {"name": port.name, "port": port.port, "protocol": "TCP", "appProtocol": port.protocol}
        for port in change.face.ports
    ]
    body = beside(change.workload, change.workload.name, MANAGED | {OURS: change.workload.name})
    spec = {"ports": ports, "trafficDistribution": change.face.traffic}
    return body | {"apiVersion": SERVICES.api, "kind": SERVICES.kind, "spec": spec}


def endpoint_slice(change: ApplySlice) -> Json:
    """One EndpointSlice of the workload's Service."""
    face, name = change.face, change.workload.name
    body = beside(change.workload, face.name, MANAGED | _SLICE_MANAGED | {OURS: name, _SERVICE_NAME: name})
    return body | {
        "apiVersion": SLICES.api,
        "kind": SLICES.kind,
        "addressType": face.family,
        "ports": [
            {"name": port, "port": number, "protocol": "TCP"}
            for port, number in (("http", face.http), ("grpc", face.grpc))
        ],
        "endpoints": [_endpoint(row) for row in face.endpoints],
    }


def _endpoint(row: Endpoint) -> Json:
    body: Json = {"addresses": [row.address], "conditions": {"ready": row.ready}}
    if row.zone:
        body["zone"] = row.zone
    if row.hint:
        body["hints"] = {"forZones": [{"name": row.hint}]}
    return body
