"""The manifests that Parkade writes, from the steps of `changes`."""

from typing import Any, Final

from parkade.api.base import StatusPart
from parkade.changes import ApplyCell, ApplyService, CreatePod, SetFinalizers, ShowStatus, Target
from parkade.cluster.client import Json
from parkade.cluster.resources import CELLS, OWNED_KINDS, PODS, SERVICES, SLICES

HTTP_PORT: Final = 8000
GRPC_PORT: Final = 8001
OUR_SLICES: Final = "endpointslice.kubernetes.io/managed-by=parkade-operator"
"""Selects the EndpointSlices that Parkade made."""
_FACE_IMAGE: Final = "parkade.dev/model"
"""No registry serves it and nothing pulls it: carlet answers for the pod, the cars hold the model by digest."""
_FOR_EVER: Final = (
    {"key": "parkade.dev/vehicle", "operator": "Exists"},
    {"key": "node.kubernetes.io/not-ready", "operator": "Exists"},
    {"key": "node.kubernetes.io/unreachable", "operator": "Exists"},
)
"""Without a time limit: Kubernetes' node controller decides nothing about cars."""


def owner(target: Target) -> Json:
    """An owner reference: the object goes with its owner."""
    return {
        "apiVersion": OWNED_KINDS[target.kind].api,
        "kind": target.kind,
        "name": target.name,
        "uid": target.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def own_object(target: Target, **fields: Any) -> Json:  # noqa: ANN401 -- any JSON
    """One of Parkade's own objects, by name and uid, with some fields."""
    metadata = {"name": target.name, "uid": target.uid}
    if target.namespace:
        metadata["namespace"] = target.namespace
    return {"apiVersion": OWNED_KINDS[target.kind].api, "kind": target.kind, "metadata": metadata} | fields


def finalizers(change: SetFinalizers) -> Json:
    """A workload with exactly the finalizers that Parkade owns."""
    body = own_object(change.target)
    if change.finalizers:
        body["metadata"]["finalizers"] = list(change.finalizers)
    return body


def status(change: ShowStatus) -> Json:
    """An object with its status."""
    return own_object(change.target, status=_known(change.status))


def _known(part: StatusPart) -> Json:
    """What is known: no empty text or map, and no part of which nothing is known. Numbers stay, 0 is one."""
    unknown = {
        name for name, field in type(part).model_fields.items() if _is_unknown(getattr(part, name), field.default)
    }
    whole: Json = _without_empty(part.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=unknown))
    return whole


def _is_unknown(value: object, default: object) -> bool:
    return isinstance(value, StatusPart) and value == default


def _without_empty(value: Any) -> Any:  # noqa: ANN401 -- any JSON
    if isinstance(value, dict):
        return {
            name: _without_empty(entry) for name, entry in value.items() if entry or not isinstance(entry, str | dict)
        }
    return [_without_empty(entry) for entry in value] if isinstance(value, list) else value


def cell(change: ApplyCell) -> Json:
    """A VehicleCell with all its orders."""
    return {
        "apiVersion": CELLS.api,
        "kind": CELLS.kind,
        "metadata": {
            "name": change.cell,
            "labels": {"parkade.dev/pool": change.pool.name},
            "ownerReferences": [owner(change.pool)],
        },
        "spec": {
            "pool": change.pool.name,
            "region": change.region,
            "shard": change.shard,
            "maxVehicles": change.max_vehicles,
            "term": change.term,
            "assignments": [
                {
                    "workload": row.workload,
                    "digest": row.digest,
                    "replicas": row.replicas,
                    "share": row.share,
                    "priority": row.priority,
                }
                for row in change.assignments
            ],
        },
    }


def pod(change: CreatePod) -> Json:
    """The face of a workload in a cell. A grace period of 0: there is no process here to wait for."""
    name = f"{change.workload.name}-{change.cell}"
    return {
        "apiVersion": PODS.api,
        "kind": PODS.kind,
        "metadata": {
            "name": name,
            "namespace": change.workload.namespace,
            "labels": {"parkade.dev/workload": change.workload.name, "parkade.dev/cell": change.cell},
            "ownerReferences": [owner(change.workload)],
        },
        "spec": {
            "nodeName": change.cell,
            "containers": [{"name": "model", "image": f"{_FACE_IMAGE}:{change.model}"[:255]}],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "tolerations": list(_FOR_EVER),
        },
    }


def service(change: ApplyService) -> Json:
    """The workload's Service; no selector, because what is behind it are routers."""
    body = _beside(change.workload, change.workload.name, {"parkade.dev/workload": change.workload.name})
    ports = [
        {"name": "http", "port": HTTP_PORT, "protocol": "TCP", "appProtocol": "http"},
        {"name": "grpc", "port": GRPC_PORT, "protocol": "TCP", "appProtocol": "kubernetes.io/h2c"},
    ]
    return body | {"apiVersion": SERVICES.api, "kind": SERVICES.kind, "spec": {"ports": ports}}


def endpoint_slices(change: ApplyService) -> list[Json]:
    """One EndpointSlice a router, because routers may listen on different ports."""
    slices = []
    for router in change.routers:
        (address, http), (_, grpc) = _split(router.http), _split(router.grpc)
        labels = {
            "parkade.dev/workload": change.workload.name,
            "kubernetes.io/service-name": change.workload.name,
            "endpointslice.kubernetes.io/managed-by": "parkade-operator",
        }
        body = _beside(change.workload, f"{change.workload.name}-{router.id}"[:253], labels)
        slices.append(
            body
            | {
                "apiVersion": SLICES.api,
                "kind": SLICES.kind,
                "addressType": "IPv6" if ":" in address else "IPv4",
                "ports": [{"name": "http", "port": http}, {"name": "grpc", "port": grpc}],
                "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            }
        )
    return slices


def _beside(workload: Target, name: str, labels: dict[str, str]) -> Json:
    """Metadata of an object that lives in the workload's namespace and goes with it."""
    return {
        "metadata": {
            "name": name,
            "namespace": workload.namespace,
            "labels": labels,
            "ownerReferences": [owner(workload)],
        }
    }


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
