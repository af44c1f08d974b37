"""kopf's handlers: each says that a kind changed, if what it shows differs from what it showed before.

Only `on.event` is used: kopf adds no finalizer, annotation or status for it. Heartbeats (Lease renewals, node status)
would wake the cycle for nothing; what matters of each kind is one line here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import kopf

from parkade.handlers.waking import Wake

GROUP: Final = "parkade.dev"
VERSION: Final = "v1alpha1"
OWN_PLURALS: Final = (
    "inferenceworkloads", "vehiclenodepools", "vehiclecells", "tritonpools", "regions", "gridevents",
)  # fmt: skip

Body = Mapping[str, Any]
Essence = Callable[[Body], object]


def whole(body: Body) -> object:
    """Spec, status and the metadata that people and deletions change."""
    meta = body["metadata"]
    return (
        meta.get("generation"),
        meta.get("deletionTimestamp"),
        repr(meta.get("finalizers")),
        repr(body.get("status")),
    )


def pod(body: Body) -> object:
    """A pod that appeared, is leaving, or was made anew."""
    return body["metadata"]["uid"], body["metadata"].get("deletionTimestamp")


def node(body: Body) -> object:
    """A node that appeared or was cordoned."""
    return body["metadata"]["uid"], (body.get("spec") or {}).get("unschedulable")


def service(body: Body) -> object:
    """A Service that went, or that somebody edited."""
    return body["metadata"]["uid"], repr(body.get("spec"))


def content(body: Body) -> object:
    """What a ConfigMap says."""
    return repr(body.get("data"))


def lease(body: Body) -> object:
    """A router that appeared or moved."""
    return repr(body["metadata"].get("annotations")), (body.get("spec") or {}).get("holderIdentity")


def register(registry: kopf.OperatorRegistry, wake: Wake) -> None:
    """Watch all that a cycle reads from the cluster."""
    for plural in OWN_PLURALS:
        kopf.on.event(GROUP, VERSION, plural, registry=registry)(waker(wake, plural, whole))
    in_cell = {"parkade.dev/cell": kopf.PRESENT}
    kopf.on.event("", "v1", "pods", labels=in_cell, registry=registry)(waker(wake, "pods", pod))
    kopf.on.event("", "v1", "nodes", labels=in_cell, registry=registry)(waker(wake, "nodes", node))
    ours = {"parkade.dev/workload": kopf.PRESENT}
    kopf.on.event("", "v1", "services", labels=ours, registry=registry)(waker(wake, "services", service))
    kopf.on.event("", "v1", "configmaps", registry=registry)(waker(wake, "configmaps", content))
    router = {"parkade.dev/component": "router"}
    leases = kopf.on.event("coordination.k8s.io", "v1", "leases", labels=router, registry=registry)
    leases(waker(wake, "leases", lease))


def waker(wake: Wake, cause: str, essence: Essence) -> Callable[..., None]:
    """A handler that wakes the cycle when an object appears, goes, or changes in essence."""

    def on_event(type: str | None, body: Body, memo: kopf.Memo, **_: object) -> None:  # noqa: A002 -- kopf's name
        now = essence(body)
        if type == "DELETED" or memo.get("essence") != now:
            memo["essence"] = now
            wake.call(cause)

    return on_event


def settings() -> kopf.OperatorSettings:
    """Make kopf a mere watcher: no events, no peering, no webhooks, tries without end while the API server is away."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.admission.managed = None
    chosen.networking.error_backoffs = _Patience()
    chosen.watching.connect_timeout = 5.0
    return chosen


class _Patience:
    """Seconds between tries, without end: the API server comes back, and the operator must be there when it does."""

    def __iter__(self) -> "_Patience":
        return self

    def __next__(self) -> float:
        return 1.0
