"""The chart's accounts on a real API server."""

from pathlib import Path

import yaml

from charts.manifests import objects
from parkade.local.plane import Plane

KINDS = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


def grant(plane: Plane, rendered: str) -> None:
    """Make the accounts with their roles, those of hooks too."""
    found = [thing for thing in objects(rendered) if thing["kind"] in KINDS]
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(found))


def as_account(plane: Plane, account: str, kubeconfig: Path) -> Path:
    """Write a kubeconfig with a token of an account, as its pod has one."""
    token = plane.kubectl("create", "token", account, "--namespace=parkade-system").strip()
    config = yaml.safe_load(plane.kubeconfig.read_text())
    config["users"] = [{"name": "pod", "user": {"token": token}}]
    config["contexts"][0]["context"]["user"] = "pod"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(yaml.safe_dump(config))
    return kubeconfig
