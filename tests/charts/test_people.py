"""What people may by the chart's roles, and what `kubectl parkade` says to those who may not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from handlers.world import eventually
from kubectl.plugin import Plugin, install
from parkade.cluster import ClusterClient
from parkade.cluster.client import Caller
from parkade.errors import ClusterRefused
from parkade.local import binaries
from parkade.local.plane import Plane

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

SPACE = "people"
BINDINGS = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}},
    *(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"people-{role}"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"{role}er"}],
        }
        for role in ("view", "edit")
    ),
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "people-own", "namespace": SPACE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "tenant"}],
    },
]


@pytest.fixture(scope="module")
def person(
    render: Callable[..., str], plane: Plane, repository_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., str]:
    """The plugin in the name of somebody: `viewer` and `editer` in the whole cluster, `tenant` in one namespace."""
    things = [thing for thing in yaml.safe_load_all(render()) if thing]
    roles = [thing for thing in things if thing["metadata"]["name"] in ("parkade-view", "parkade-edit")]
    assert len(roles) == 2
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all([*roles, *BINDINGS]))
    # the controller manager adds the rules to view and edit by their labels
    client = ClusterClient.connect(100, 100, plane.kubeconfig)
    for role in ("view", "edit"):
        path = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{role}"
        eventually(lambda it=path: "parkade.dev" in str(client.get(it).get("rules")), f"{role} is added to", 60)
    client.close()
    scripts = install(repository_root, tmp_path_factory.mktemp("scripts"))
    plugin = Plugin(binaries.upstream("kubectl", print), scripts, plane.kubeconfig)
    return lambda user, *words: plugin.here(*words, "--as", user)


def test_a_viewer_sees_everything(person: Callable[..., str]) -> None:
    assert "Not shown" not in person("viewer", "status")
    assert "Not shown" not in person("viewer", "top")
    assert "Not shown" not in person("viewer", "events")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("pause",), "you may not patch configmaps in the namespace parkade-system; ask an administrator for it"),
        (
            ("resume", f"{SPACE}/model"),
            f"you may not patch inferenceworkloads.parkade.dev in the namespace {SPACE}; ask an administrator for it",
        ),
    ],
)
def test_a_viewer_who_wants_more_is_told_what_is_missing(
    person: Callable[..., str], words: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ClusterRefused) as refusal:
        person("viewer", *words)
    assert str(refusal.value) == sentence


def test_a_tenant_sees_the_own_namespace_and_what_is_hidden(person: Callable[..., str]) -> None:
    shown = person("tenant", "status", "-n", SPACE)
    assert f"workloads of {SPACE}" in shown
    assert "Nothing is wrong with what you may see" in shown
    assert "vehiclecells, gridevents, leases" in " ".join(shown.split())
    assert "ask an administrator for the ClusterRole view" in " ".join(shown.split())
    told = json.loads(person("tenant", "status", "-n", SPACE, "-o", "json"))["notShown"]
    for kind in ("vehiclecells.parkade.dev", "leases.coordination.k8s.io in the namespace parkade-system"):
        assert any(f"you may not list {kind}; ask an administrator for it" in row for row in told)


@pytest.mark.parametrize("words", [("top",), ("events",), ("plan",), ("explain", f"{SPACE}/model")])
def test_without_what_a_command_needs_it_says_what_is_missing(
    person: Callable[..., str], words: tuple[str, ...]
) -> None:
    with pytest.raises(
        ClusterRefused, match=r"you may not list (inferenceworkloads.parkade.dev|events) in .*; ask an admin"
    ):
        person("nobody", *words)


def test_an_editor_may_pause_and_may_not_order_cars(person: Callable[..., str], plane: Plane) -> None:
    try:
        assert "kubectl parkade resume ends it" in person("editer", "pause")
    finally:
        person("editer", "resume")
        plane.kubectl("delete", "configmap", "-n", "parkade-system", "parkade-settings")
    asked = plane.kubectl("auth", "can-i", "--list", "--as=editer")
    assert "tritonpools.parkade.dev" in asked
    client = ClusterClient.connect(100, 100, plane.kubeconfig, Caller("test", user="editer"))
    with pytest.raises(ClusterRefused, match="cannot create resource"):
        client.create("/apis/parkade.dev/v1alpha1/vehiclecells", {"metadata": {"name": "x"}})
    client.close()
