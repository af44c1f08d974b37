"""Carries out steps on the API server: server-side apply as the one field manager `parkade-operator`."""

from parkade.changes import (
    Announce,
    ApplyCell,
    ApplyService,
    CreatePod,
    DeletePod,
    SetFinalizers,
    ShowStatus,
)
from parkade.cluster import manifests
from parkade.cluster.client import ClusterClient
from parkade.cluster.recording import Recorder
from parkade.cluster.resources import CELLS, OWNED_KINDS, PODS, SERVICES, SLICES
from parkade.errors import ClusterRefused

ClusterChange = SetFinalizers | ApplyCell | CreatePod | DeletePod | ApplyService | ShowStatus | Announce


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
            case CreatePod():
                self._create_pod(change)
            case DeletePod(namespace=namespace, name=name):
                self._client.delete(PODS.path(namespace, name), {"gracePeriodSeconds": 0})
            case ApplyService():
                self._apply_service(change)
            case Announce():
                self._recorder.record(change)

    def _create_pod(self, change: CreatePod) -> None:
        try:
            self._client.create(PODS.path(change.workload.namespace), manifests.pod(change))
        except ClusterRefused as refusal:
            if not refusal.already_exists:
                raise

    def _apply_service(self, change: ApplyService) -> None:
        """Create the Service only if its name is free, so that a namesake of the user is never taken over."""
        namespace, body = change.workload.namespace, manifests.service(change)
        if change.exists:
            self._client.apply(SERVICES.path(namespace, change.workload.name), body)
        else:
            self._client.create(SERVICES.path(namespace), body)
        pieces = {piece["metadata"]["name"]: piece for piece in manifests.endpoint_slices(change)}
        ours = f"kubernetes.io/service-name={change.workload.name},{manifests.OUR_SLICES}"
        for piece in self._client.list(SLICES.path(namespace), ours):
            if piece["metadata"]["name"] not in pieces:
                self._client.delete(SLICES.path(namespace, piece["metadata"]["name"]))
        for name, piece in pieces.items():
            self._client.apply(SLICES.path(namespace, name), piece)
