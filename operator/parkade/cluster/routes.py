"""HTTPRoutes and GRPCRoutes on the wire: read into the values of `snapshot`, and written from them."""

from typing import Final

from parkade.changes import ApplyRoute
from parkade.cluster.client import ClusterClient, Json
from parkade.cluster.fronts import MANAGED, OURS
from parkade.cluster.manifests import beside
from parkade.cluster.resources import ROUTES
from parkade.errors import ClusterRefused
from parkade.snapshot import RouteFace

_SELECTOR: Final = ",".join(f"{key}={value}" for key, value in sorted(MANAGED.items()))


def read_routes(client: ClusterClient) -> tuple[RouteFace, ...] | None:
    """Our routes; None where the Gateway API is not installed.

    Raises:
        ClusterUnavailable: the API server does not answer.
        ClusterRefused: it refuses the list.
    """
    found = []
    for resource in ROUTES.values():
        try:
            found += [_face(resource.kind, item) for item in client.list(resource.path(), _SELECTOR)]
        except ClusterRefused as refusal:
            if refusal.not_found:
                return None
            raise
    return tuple(sorted(found))


def _face(kind: str, item: Json) -> RouteFace:
    """What we say of a route; where somebody said more, it reads as nothing that we would say."""
    meta, spec = item["metadata"], item.get("spec") or {}
    parents, rules = spec.get("parentRefs") or [], spec.get("rules") or []
    rule = rules[0] if len(rules) == 1 else {}
    backends = rule.get("backendRefs") or []
    return RouteFace(
        kind="GRPCRoute" if kind == "GRPCRoute" else "HTTPRoute",
        namespace=meta["namespace"],
        name=meta["name"],
        parent=",".join(_parent(parent, meta["namespace"]) for parent in parents),
        hostnames=tuple(spec.get("hostnames") or ()),
        matches=tuple(_match(match) for match in rule.get("matches") or ()),
        backend=",".join(f"{backend['name']}:{backend.get('port', 0)}" for backend in backends),
    )


def _parent(parent: Json, namespace: str) -> str:
    words = (parent.get("namespace", namespace), parent["name"], parent.get("sectionName", ""))
    return "/".join(word for word in words if word)


def _match(match: Json) -> str:
    known = match.keys() & {"path", "method"}
    if len(match) != 1 or not known:
        return "other"
    if "path" in match:
        return f"{match['path'].get('type', 'PathPrefix')} {match['path'].get('value', '/')}"
    method = match["method"]
    return "other" if method.get("method") else f"Service {method.get('service', '')}"


def route(change: ApplyRoute) -> Json:
    """The route as a manifest."""
    face, owner = change.face, change.workload
    namespace, name, *listener = face.parent.split("/")
    parent = {"namespace": namespace, "name": name} | ({"sectionName": listener[0]} if listener else {})
    service, _, port = face.backend.rpartition(":")
    rule = {
        "matches": [_matching(*match.split(" ", 1)) for match in face.matches],
        "backendRefs": [{"name": service, "port": int(port)}],
    }
    # an empty list takes away what somebody wrote there; a list that is left out would not
    spec: Json = {"parentRefs": [parent], "hostnames": list(face.hostnames), "rules": [rule]}
    resource = ROUTES[face.kind]
    body: Json = {"metadata": {"name": face.name, "namespace": face.namespace, "labels": dict(MANAGED)}}
    if owner is not None:
        body = beside(owner, face.name, MANAGED | {OURS: owner.name})
    return body | {"apiVersion": resource.api, "kind": resource.kind, "spec": spec}


def _matching(kind: str, value: str) -> Json:
    if kind == "Service":
        return {"method": {"type": "Exact", "service": value}}
    return {"path": {"type": kind, "value": value}}
