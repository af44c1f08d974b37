"""Takes away what Parkade made in a cluster, and lets go of what its users made; for an uninstall."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from parkade.cluster.client import ClusterClient, Json
from parkade.cluster.fronts import MANAGED, OURS
from parkade.cluster.resources import (
    CELLS,
    LEASES,
    NODES,
    OWNED_KINDS,
    PODS,
    ROUTES,
    SERVICES,
    SLICES,
    WORKLOADS,
    Resource,
)
from parkade.errors import ClusterRefused, ClusterUnavailable, InvalidInput

_PREFIX: Final = "parkade.dev/"
_MANAGED: Final = ",".join(f"{key}={value}" for key, value in MANAGED.items())
_NODE_LEASES: Final = "kube-node-lease"
_COMPONENTS: Final = "parkade.dev/component in (router,carlet)"
_LEADER: Final = "parkade-operator"
_DEPLOYMENTS: Final = Resource("apps/v1", "Deployment", "deployments")
_WRITERS: Final = ("parkade-operator", "carlet")
"""Deployments of the chart that would make everything again."""
_PAUSE: Final = 1.0
"""Seconds between two rounds: what was deleted may take a moment, and who is ending may write once more."""


class Clearing:
    """Rounds over everything of ours until nothing is left.

    Args:
        client: who may list and delete what is ours, and take finalizers off.
        namespace: where the Leases of operator, routers and carlets are.
        say: told of each object that was let go or deleted.
    """

    def __init__(self, client: ClusterClient, namespace: str, say: Callable[[str], None]) -> None:
        self._client, self._namespace, self._say = client, namespace, say

    def run(self, seconds: float) -> None:
        """Clear until a round finds nothing.

        Raises:
            InvalidInput: operator or carlet is still installed.
            ClusterUnavailable: something is still there after so many seconds, or the API server does not answer.
            ClusterRefused: it refuses, as to an account that may not.
        """
        self._check_gone()
        deadline = time.monotonic() + seconds
        while left := self._round():
            if time.monotonic() > deadline:
                some = ", ".join(left[:5])
                raise ClusterUnavailable(
                    f"{len(left)} objects are still there after {seconds:g} s ({some}); end operator and carlet first"
                )
            time.sleep(_PAUSE)

    def _check_gone(self) -> None:
        """Refuse while Parkade is installed, as where a tool applies hooks like any other manifest."""
        for name in _WRITERS:
            try:
                found = self._client.get(_DEPLOYMENTS.path(self._namespace, name))
            except ClusterRefused as refusal:
                if refusal.not_found:
                    continue
                raise
            if "deletionTimestamp" not in found["metadata"]:
                raise InvalidInput(f"Deployment {name} is in namespace {self._namespace}: run `helm uninstall` first")

    def _round(self) -> list[str]:
        """Let go and delete all that is there now; returns what was found."""
        found = [self._let_go(resource, item) for resource, item in self._held()]
        for resource, item in self._made():
            meta = item["metadata"]
            path = resource.path(meta.get("namespace", ""), meta["name"])
            # without a grace, for no kubelet will ever say that the pod has ended
            self._client.delete(path, {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}})
            found.append(self._told("deleted", resource, item))
        return found

    def _held(self) -> Iterator[tuple[Resource, Json]]:
        """Objects with a finalizer of ours, which nobody would ever take off again."""
        for resource in OWNED_KINDS.values():
            for item in self._list(resource):
                if any(name.startswith(_PREFIX) for name in item["metadata"].get("finalizers") or ()):
                    yield resource, item

    def _let_go(self, resource: Resource, item: Json) -> str:
        meta = item["metadata"]
        others = [name for name in meta["finalizers"] if not name.startswith(_PREFIX)]
        body = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": others or None}}
        try:
            self._client.merge(resource.path(meta.get("namespace", ""), meta["name"]), body)
        except ClusterRefused as refusal:
            if refusal.status not in (404, 409):  # gone, or written meanwhile: the next round sees it anew
                raise
        return self._told("let go", resource, item)

    def _made(self) -> Iterator[tuple[Resource, Json]]:
        """What operator, carlet and routers made; pods before their nodes, cells before the nodes they own."""
        for resource, selector in (
            (PODS, f"{_PREFIX}cell,{OURS}"),
            (SLICES, f"{OURS},endpointslice.kubernetes.io/managed-by=parkade"),
            (SERVICES, f"{OURS},{_MANAGED}"),
            *((route, _MANAGED) for route in ROUTES.values()),
        ):
            for item in self._list(resource, selector):
                if resource in ROUTES.values() or _is_owned(item):
                    yield resource, item
        for item in self._list(CELLS):
            yield CELLS, item
        yield from self._nodes()
        for item in self._list(LEASES, _COMPONENTS, self._namespace):
            yield LEASES, item
        yield from self._one_lease(self._namespace, _LEADER)

    def _nodes(self) -> Iterator[tuple[Resource, Json]]:
        for item in self._list(NODES, f"{_PREFIX}cell,type=virtual-kubelet"):
            yield from self._one_lease(_NODE_LEASES, item["metadata"]["name"])
            yield NODES, item

    def _one_lease(self, namespace: str, name: str) -> Iterator[tuple[Resource, Json]]:
        try:
            yield LEASES, self._client.get(LEASES.path(namespace, name))
        except ClusterRefused as refusal:
            if not refusal.not_found:
                raise

    def _list(self, resource: Resource, selector: str = "", namespace: str = "") -> list[Json]:
        """All of a kind; none where the kind is not installed."""
        try:
            return self._client.list(resource.path(namespace), selector)
        except ClusterRefused as refusal:
            if refusal.not_found:
                return []
            raise

    def _told(self, verb: str, resource: Resource, item: Json) -> str:
        meta = item["metadata"]
        name = "/".join(filter(None, (meta.get("namespace"), meta["name"])))
        self._say(f"{resource.kind} {name}: {verb}")
        return f"{resource.kind} {name}"


def _is_owned(item: Json) -> bool:
    """An object with our labels that no workload owns is somebody's who copied them."""
    references = item["metadata"].get("ownerReferences") or ()
    return any(
        reference["kind"] == WORKLOADS.kind and reference["apiVersion"].startswith(_PREFIX) for reference in references
    )
