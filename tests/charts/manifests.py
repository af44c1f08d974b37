"""Reading what helm rendered."""

from typing import Any

import yaml

Manifest = dict[str, Any]


def objects(rendered: str) -> list[Manifest]:
    """All documents."""
    return [document for document in yaml.safe_load_all(rendered) if document]


def one(rendered: str, kind: str, name: str) -> Manifest:
    """The only object of a kind and name."""
    (found,) = (it for it in objects(rendered) if (it["kind"], it["metadata"]["name"]) == (kind, name))
    return found


def pods(rendered: str) -> list[tuple[str, Manifest]]:
    """Name and pod of what runs on."""
    workloads = ("Deployment", "StatefulSet")
    found = [thing for thing in objects(rendered) if thing["kind"] in workloads]
    return [(thing["metadata"]["name"], thing["spec"]["template"]["spec"]) for thing in found]


def errands(rendered: str) -> list[tuple[str, Manifest]]:
    """Name and pod of what ends by itself."""
    jobs = [(it["metadata"]["name"], it["spec"]["template"]["spec"]) for it in objects(rendered) if it["kind"] == "Job"]
    return jobs + [(it["metadata"]["name"], it["spec"]) for it in objects(rendered) if it["kind"] == "Pod"]
