"""A release by the real helm on an API server of its own: definitions are upgraded, users' objects kept."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from parkade.local.plane import NAMESPACE, Plane

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

RELEASES = sorted(path.name for path in (Path(__file__).parents[1] / "golden" / "manifests").iterdir() if path.is_dir())
KINDS = "inferenceworkloads,vehiclenodepools,tritonpools,regions,gridevents"
Helm = Callable[..., str]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A control plane without a single definition of ours."""
    plane = Plane(tmp_path_factory.mktemp("bare"), say=print)
    try:
        plane.start_control_plane()
        yield plane
    finally:
        plane.stop()


@pytest.fixture
def release(helm: Path, bare: Plane) -> Helm:
    def run(*arguments: str) -> str:
        # hooks are Jobs, and no kubelet is here to run them; they are tested as processes
        where = ("--namespace", NAMESPACE, "--kubeconfig", str(bare.kubeconfig))
        hooks = () if arguments[0] in ("list", "status") else ("--no-hooks",)
        done = subprocess.run([helm, *arguments, *where, *hooks], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def stored(plane: Plane) -> dict[str, Any]:
    """Specs of all of the users' objects."""
    found = yaml.safe_load(plane.kubectl("get", KINDS, "--all-namespaces", "-o", "yaml"))["items"]
    return {f"{it['kind']} {it['metadata']['name']}": it["spec"] for it in found}


def former(chart: Path, definitions: Path, directory: Path) -> Path:
    """The chart with the definitions of a former release, one field of which is taken out and one rule is another."""
    copy = directory / "former"
    shutil.copytree(chart, copy)
    shutil.rmtree(copy / "files" / "crds")
    shutil.copytree(definitions, copy / "files" / "crds")
    file = copy / "files" / "crds" / "parkade.dev_regions.yaml"
    text = yaml.safe_load(file.read_text())
    (version,) = text["spec"]["versions"]
    version["additionalPrinterColumns"] = version["additionalPrinterColumns"][:1]
    del version["schema"]["openAPIV3Schema"]["properties"]["spec"]["description"]
    head = "# as it was\n"
    file.write_text(head + yaml.safe_dump(text, sort_keys=False))
    return copy


@pytest.mark.parametrize("version", RELEASES)
def test_an_upgrade_renews_the_definitions_and_an_uninstall_keeps_what_users_wrote(
    version: str, release: Helm, bare: Plane, repository_root: Path, tmp_path: Path
) -> None:
    chart, shipped = (
        repository_root / "charts" / "parkade",
        repository_root / "tests" / "golden" / "manifests" / version,
    )
    release("install", "parkade", str(former(chart, shipped / "crds", tmp_path)), "--create-namespace")
    try:
        definitions = [f"crd/{plural}.parkade.dev" for plural in (*KINDS.split(","), "vehiclecells")]
        bare.kubectl("wait", "--for=condition=Established", "--timeout=60s", *definitions)
        bare.kubectl("create", "namespace", "vision")
        bare.kubectl("apply", *(f"--filename={file}" for file in sorted(shipped.glob("*.yaml"))))
        before = stored(bare)
        assert {name.split()[0] for name in before} == {
            "InferenceWorkload", "VehicleNodePool", "TritonPool", "Region", "GridEvent",
        }  # fmt: skip

        release("upgrade", "parkade", str(chart), "--set", "operator.replicas=3")

        for file in sorted((repository_root / "crds").iterdir()):
            wanted = yaml.safe_load(file.read_text())
            found = yaml.safe_load(bare.kubectl("get", "crd", wanted["metadata"]["name"], "-o", "yaml"))
            assert found["spec"]["versions"] == wanted["spec"]["versions"], file.name
            assert found["status"]["storedVersions"] == ["v1alpha1"]
        assert stored(bare) == before
        bare.kubectl("apply", "--dry-run=server", *(f"--filename={it}" for it in sorted(shipped.glob("*.yaml"))))

        release("rollback", "parkade", "1")
        assert stored(bare) == before
    finally:
        release("uninstall", "parkade")
    assert stored(bare) == before
    kinds = "deployments,statefulsets,services,configmaps,networkpolicies,poddisruptionbudgets,serviceaccounts,roles"
    names = bare.kubectl("get", kinds, f"--namespace={NAMESPACE}", "-o", "name", "-l", "app.kubernetes.io/name=parkade")
    assert names == ""
    cluster = bare.kubectl(
        "get", "clusterroles,clusterrolebindings", "-o", "name", "-l", "app.kubernetes.io/name=parkade"
    )
    assert cluster == ""
    kept = bare.kubectl("get", "persistentvolumeclaims", f"--namespace={NAMESPACE}", "-o", "name")
    assert kept.split() == ["persistentvolumeclaim/data-parkade-nats-0", "persistentvolumeclaim/parkade-models"]

    release("install", "parkade", str(chart))  # over what the former release kept
    release("uninstall", "parkade")


def test_its_notes_name_what_is_there(helm: Path, repository_root: Path) -> None:
    chart = repository_root / "charts" / "parkade"
    command = [
        helm,
        "install",
        "mine",
        chart,
        "--namespace",
        "elsewhere",
        "--dry-run=client",
        "--set",
        "secrets.tls=own",
    ]
    notes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.partition("NOTES:")[2]
    assert "helm test mine -n elsewhere" in notes
    assert "tls://parkade-nats.elsewhere.svc:4222" in notes
    assert "get secret own" in notes
    assert "{{" not in notes
