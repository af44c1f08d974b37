"""The manifests that Parkade writes, from the steps of `changes`."""

from typing import Any, Final

from parkade.api.base import StatusPart
from parkade.changes import ApplyCell, CreatePod, SetFinalizers, ShowStatus, Target
from parkade.cluster.client import Json
from parkade.cluster.resources import CELLS, OWNED_KINDS, PODS

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
            "closing": change.closing,
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


def beside(workload: Target, name: str, labels: dict[str, str]) -> Json:
    """Metadata of an object that lives in the workload's namespace and goes with it."""
    return {
        "metadata": {
            "name": name,
            "namespace": workload.namespace,
            "labels": labels,
            "ownerReferences": [owner(workload)],
        }
    }
