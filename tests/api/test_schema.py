"""The CRDs: generated, the same in both folders, and pleasant in kubectl."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from parkade.api import KINDS
from parkade.api.command import crds
from parkade.api.schema import crd, crd_files
from parkade.local.plane import Plane


@pytest.fixture
def checkout(repository_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(repository_root)
    return repository_root


def test_the_committed_files_are_those_of_the_models(checkout: Path) -> None:
    del checkout
    outcome = CliRunner().invoke(crds, ["--check"])
    assert outcome.exit_code == 0, outcome.exception


def test_check_names_a_stale_file(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(crds, ["-o", str(tmp_path)]).exit_code == 0
    assert runner.invoke(crds, ["-o", str(tmp_path), "--check"]).exit_code == 0
    file = tmp_path / "parkade.dev_regions.yaml"
    file.write_text(file.read_text().replace("maxItems: 64", "maxItems: 65"))
    outcome = runner.invoke(crds, ["-o", str(tmp_path), "--check"])
    assert "parkade.dev_regions.yaml" in str(outcome.exception)
    assert "run: parkade crds" in str(outcome.exception)


def test_no_generated_file_is_left_from_a_kind_that_is_gone(repository_root: Path) -> None:
    for folder in ("crds", "charts/parkade/files/crds"):
        assert {path.name for path in (repository_root / folder).iterdir()} == set(crd_files())


def nodes(schema: dict[str, Any], path: str) -> list[tuple[str, dict[str, Any]]]:
    found = [(path, schema)]
    for name, part in schema.get("properties", {}).items():
        found += nodes(part, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            found += nodes(schema[key], f"{path}[]")
    return found


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_everything_is_bounded_and_described(kind: type) -> None:
    schema = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for path, node in nodes(schema, ""):
        if path in ("", ".apiVersion", ".kind", ".metadata"):
            continue
        bound = {"string": ("maxLength", "enum"), "array": ("maxItems",), "integer": ("maximum",)}.get(node["type"])
        assert bound is None or any(word in node for word in bound) or path.endswith(".term"), f"{path} is unbounded"
        if node["type"] == "object" and "additionalProperties" in node:
            assert "maxProperties" in node, path
        if path.startswith(".spec.") and not path.endswith("[]"):
            assert node.get("description"), f"{path} says nothing in kubectl explain"
        if path.startswith(".status"):
            assert "default" not in node, f"{path} would show what nobody wrote"


@pytest.mark.cluster
def test_kubectl_explain_explains_placement(plane: Plane, tmp_path: Path) -> None:
    # an own cache: `explain` believes what another server at the same port once said
    text = " ".join(plane.kubectl("--cache-dir", str(tmp_path), "explain", "iw.spec.placement").split())
    assert "Where replicas may run, how many at least, and how far apart." in text
    assert "minReplicas <integer> Replicas to keep ready whatever the demand; `kubectl scale` sets it." in text


@pytest.mark.cluster
def test_kubectl_get_and_scale_read_well(plane: Plane, repository_root: Path) -> None:
    plane.kubectl("create", "namespace", "vision")
    files = [str(repository_root / "examples" / name) for name in ("workload.yaml", "regions.yaml")]
    plane.kubectl("apply", "-f", files[0], "-f", files[1])
    try:
        status = {"observedGeneration": 1, "replicas": 3, "selector": "parkade.dev/workload=sign-reader"} | {
            "expected": {"p99": "61ms", "costPerHour": "0.0312"},
            "placements": [{"place": "ca-home-hw4-0", "tier": "Vehicle", "replicas": 3, "reason": "CheapestPlace"}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "3 replicas answer"}],
        }
        patch = json.dumps({"status": status})
        plane.kubectl("patch", "iw", "sign-reader", "-n", "vision", "--subresource=status", "--type=merge", "-p", patch)
        header, row = plane.kubectl("get", "iw", "-n", "vision").splitlines()
        columns = "NAME MODEL PLACED READY SLOMET REPLICAS PLACE WHY P99 $/H AGE"
        assert header.split() == columns.split()
        assert {"sign-reader", "True", "3", "ca-home-hw4-0", "CheapestPlace", "61ms", "0.0312"} <= set(row.split())
        assert "us-tx" in plane.kubectl("get", "parkade", "-A")

        plane.kubectl("scale", "iw/sign-reader", "-n", "vision", "--replicas=5")
        path = "jsonpath={.spec.placement.minReplicas}"
        assert plane.kubectl("get", "iw", "sign-reader", "-n", "vision", "-o", path) == "5"
    finally:
        plane.kubectl("delete", "--wait=true", "-f", files[0], "-f", files[1])
        plane.kubectl("delete", "namespace", "vision", "--wait=false")


@pytest.mark.cluster
def test_scale_works_on_a_workload_that_sets_no_placement(plane: Plane) -> None:
    manifest = {
        "apiVersion": "parkade.dev/v1alpha1",
        "kind": "InferenceWorkload",
        "metadata": {"name": "least", "namespace": "default"},
        "spec": {
            "model": {
                "name": "least",
                "memory": "1Mi",
                "artifacts": [{"source": "file:///m.onnx", "sha256": "0" * 64}],
            },
            "demand": [{"region": "us-ca", "rate": "1"}],
            "latency": {"target": "1s"},
        },
    }
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    try:
        plane.kubectl("scale", "iw/least", "--current-replicas=1", "--replicas=2")
    finally:
        plane.kubectl("delete", "iw", "least")
