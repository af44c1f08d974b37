"""What a person tells Parkade through the API server: the live switches, a workload's suspension, a cell's cordon."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from parkade.cluster.client import ClusterClient, Json
from parkade.cluster.reading import SETTINGS
from parkade.cluster.resources import CELLS, CONFIG_MAPS, NODES, PODS, WORKLOADS, Resource
from parkade.cluster.surveying import forbidden
from parkade.errors import ClusterRefused, ClusterUnavailable

T = TypeVar("T")
AT: Final = "parkade.dev/paused-at"
BECAUSE: Final = "parkade.dev/paused-because"


def set_paused(client: ClusterClient, system: str, *, paused: bool, now: datetime, because: str = "") -> None:
    """Set the global pause, with its time and why, or end it.

    Raises:
        ClusterUnavailable: the API server does not answer.
        ClusterRefused: one may not; the message names the permission.
    """
    stamp = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    notes = {AT: stamp if paused else None, BECAUSE: because or None if paused else None}
    body = {"metadata": {"annotations": notes}, "data": {"paused": str(paused).lower()}}
    path = CONFIG_MAPS.path(system, SETTINGS)
    try:
        _told(lambda: client.merge(path, body), "patch", CONFIG_MAPS, system)
    except ClusterRefused as refusal:
        if not refusal.not_found:
            raise
        meta = {"name": SETTINGS, "namespace": system, "annotations": {k: v for k, v in notes.items() if v}}
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": body["data"]}
        _told(lambda: client.create(CONFIG_MAPS.path(system), made), "create", CONFIG_MAPS, system)


def set_suspended(client: ClusterClient, namespace: str, name: str, *, suspended: bool) -> None:
    """Stop or begin to serve a workload; raises as `set_paused`, and if there is none of that name."""
    body = {"spec": {"suspend": suspended}}
    _told(lambda: client.merge(WORKLOADS.path(namespace, name), body), "patch", WORKLOADS, namespace)


@dataclass(frozen=True, slots=True)
class Held:
    """What a cell has."""

    cell: str
    orders: int
    """Workloads that its cars are to hold."""
    cordoned: bool


def cells_of(client: ClusterClient, name: str) -> tuple[str, ...]:
    """The cell of that name, or the cells of the vehicle pool of that name; empty if there is neither."""
    cells = _told(lambda: client.list(CELLS.path()), "list", CELLS)
    own = [cell["metadata"]["name"] for cell in cells if name in (cell["metadata"]["name"], cell["spec"]["pool"])]
    return tuple(sorted(own))


def is_pool(client: ClusterClient, resource: Resource, name: str) -> bool:
    """There is a pool of that kind and name, whether or not it has cells; False where it may not be read."""
    try:
        client.get(resource.path(name=name))
    except ClusterRefused:
        return False
    return True


def held(client: ClusterClient, cells: Iterable[str]) -> tuple[Held, ...]:
    """What the cells have now."""
    wanted = frozenset(cells)
    found = _told(lambda: client.list(CELLS.path()), "list", CELLS)
    return tuple(
        Held(cell["metadata"]["name"], len(cell["spec"].get("assignments") or ()), _cordoned(cell))
        for cell in found
        if cell["metadata"]["name"] in wanted
    )


def _cordoned(cell: Json) -> bool:
    conditions = (cell.get("status") or {}).get("conditions") or ()
    return any(entry["type"] == "Schedulable" and entry["status"] == "False" for entry in conditions)


def cordon(client: ClusterClient, cell: str, *, cordoned: bool) -> None:
    """Let nothing new into a cell, or end that; raises as `set_paused`."""
    body = {"spec": {"unschedulable": cordoned or None}}
    _told(lambda: client.merge(NODES.path(name=cell), body), "patch", NODES)


def evict(client: ClusterClient, cell: str) -> int:
    """Ask for the eviction of every workload's pod in a cell, which moves what it stands for elsewhere first.

    Returns:
        How many a disruption budget refuses for now.
    """
    pods = _told(lambda: client.list(PODS.path(), f"parkade.dev/cell={cell}"), "list", PODS)
    return sum(_refused(client, pod["metadata"]) for pod in pods if "deletionTimestamp" not in pod["metadata"])


def _refused(client: ClusterClient, meta: Json) -> bool:
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
    }
    path = PODS.path(meta["namespace"], meta["name"], "eviction")
    try:
        _told(lambda: client.create(path, body), "create", PODS, meta["namespace"], "eviction")
    except ClusterUnavailable:  # 429 is how a PodDisruptionBudget says: not now
        return True
    except ClusterRefused as refusal:
        if not refusal.not_found:
            raise
    return False


def _told(write: Callable[[], T], verb: str, resource: Resource, namespace: str = "", subresource: str = "") -> T:
    """Carry out a request; a lack of rights names the permission that is missing."""
    try:
        return write()
    except ClusterRefused as refusal:
        if refusal.status != 403:
            raise
        said = forbidden(verb, resource, namespace, subresource)
        raise ClusterRefused(said, status=403, reason=refusal.reason) from None
