"""Carries out steps on the API server: server-side apply as the one field manager `parkade-operator`."""

from parkade.changes import (
    Announce,
    ApplyCell,
    ApplyRoute,
    ApplyService,
    ApplySlice,
    ClusterChange,
    CreatePod,
    DeleteCell,
    DeleteFront,
    DeletePod,
    SetFinalizers,
    ShowStatus,
    Target,
)
from parkade.cluster import fronts, manifests, routes
from parkade.cluster.client import ClusterClient, Json
from parkade.cluster.recording import Recorder
from parkade.cluster.resources import CELLS, FRONT_KINDS, OWNED_KINDS, PODS, SERVICES, SLICES
from parkade.errors import ClusterRefused


class Applying:
    """One step at a time; each raises ClusterUnavailable or ClusterRefused and leaves the others alone."""

    def __init__(self, client: ClusterClient, recorder: Recorder) -> None:
        self._client, self._recorder = client, recorder

    def apply(self, change: ClusterChange) -> None:
        """Carry out one step.

        Raises:
            ClusterUnavailable: the API server does not answer.
            ClusterRefused: it refuses the object, with its sentence.
        """
        match change:
            case SetFinalizers(target=target):
                path = OWNED_KINDS[target.kind].path(target.namespace, target.name)
                self._client.apply(path, manifests.finalizers(change))
            case ShowStatus(target=target):
                path = OWNED_KINDS[target.kind].path(target.namespace, target.name, "status")
                self._client.apply(path, manifests.status(change))
            case ApplyCell(cell=cell):
                self._client.apply(CELLS.path(name=cell), manifests.cell(change))
            case DeleteCell(cell=cell, uid=uid):
                self._client.delete(CELLS.path(name=cell), {"preconditions": {"uid": uid}})
            case CreatePod():
                self._create_pod(change)
            case DeletePod(namespace=namespace, name=name):
                self._client.delete(PODS.path(namespace, name), {"gracePeriodSeconds": 0})
            case ApplyService() | ApplySlice() | ApplyRoute() | DeleteFront():
                self._apply_front(change)
            case Announce():
                self._recorder.record(change)

    def _apply_front(self, change: ApplyService | ApplySlice | ApplyRoute | DeleteFront) -> None:
        match change:
            case ApplyService():
                self._apply_service(change)
            case ApplySlice(workload=workload, face=face):
                self._client.apply(SLICES.path(workload.namespace, face.name), fronts.endpoint_slice(change))
            case ApplyRoute():
                self._apply_route(change)
            case DeleteFront(front=front, namespace=namespace, name=name):
                self._client.delete(FRONT_KINDS[front].path(namespace, name))

    def _create_pod(self, change: CreatePod) -> None:
        try:
            self._client.create(PODS.path(change.workload.namespace), manifests.pod(change))
        except ClusterRefused as refusal:
            if not refusal.already_exists:
                raise

    def _apply_service(self, change: ApplyService) -> None:
        """Create the Service only if its name is free, so that a namesake of the user is never taken over.

        A list of ports is merged by server-side apply, and two ports of one name are refused; so a Service that
        somebody edited is first set right as a whole.
        """
        body, path = fronts.service(change), SERVICES.path(change.workload.namespace, change.workload.name)
        if not change.exists and self._create(SERVICES.path(change.workload.namespace), path, body, change.workload):
            return
        self._client.merge(path, {"spec": {"selector": None} | body["spec"]})
        self._client.apply(path, body)

    def _apply_route(self, change: ApplyRoute) -> None:
        """As a Service; the lists of a route are whole, so that server-side apply alone sets them right."""
        resource, body = FRONT_KINDS[change.face.kind], routes.route(change)
        path = resource.path(change.face.namespace, change.face.name)
        if change.exists or not self._create(resource.path(change.face.namespace), path, body, change.workload):
            self._client.apply(path, body)

    def _create(self, collection: str, path: str, body: Json, owner: Target | None) -> bool:
        """Create an object; False if it is there and ours, so that it may be applied."""
        try:
            self._client.create(collection, body)
        except ClusterRefused as refusal:
            if not refusal.already_exists or owner is None or not self._is_owned(path, owner):
                raise
            return False
        return True

    def _is_owned(self, path: str, owner: Target) -> bool:
        """The object is ours by its owner, whatever became of its labels."""
        references = self._client.get(path)["metadata"].get("ownerReferences") or ()
        return any(reference["uid"] == owner.uid for reference in references)
