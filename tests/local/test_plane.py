import json
import time
from pathlib import Path

import pytest

from parkade.errors import LocalPlaneError
from parkade.local.plane import Plane


def test_a_directory_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(LocalPlaneError, match="holds other files than a plane's; choose an empty one"):
        Plane(tmp_path).stop(purge=True)
    assert (tmp_path / "thesis.txt").exists()


def test_a_directory_that_cannot_be_made_is_one_sentence():
    with pytest.raises(LocalPlaneError, match=r"cannot be used: .*; choose another with --dir"):
        Plane(Path("/proc/plane"))


@pytest.mark.cluster
def test_the_control_plane_serves_the_kinds_with_rbac_on(plane):
    kinds = plane.kubectl("api-resources", "--api-group=parkade.dev", "-o", "name").split()
    assert "inferenceworkloads.parkade.dev" in kinds
    assert plane.kubectl("auth", "can-i", "list", "iw", "-A").strip() == "yes"
    with pytest.raises(LocalPlaneError, match="no"):
        plane.kubectl("auth", "can-i", "list", "iw", "-A", "--as=somebody")


@pytest.mark.cluster
def test_the_controller_manager_collects_garbage(plane):
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner", "namespace": "default"}}
    created = json.loads(plane.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(owner)))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": created["metadata"]["uid"]}
    owned = {**owner, "metadata": {"name": "owned", "namespace": "default", "ownerReferences": [reference]}}
    plane.kubectl("create", "-f", "-", stdin=json.dumps(owned))
    plane.kubectl("delete", "configmap", "owner")
    deadline = time.monotonic() + 30
    while "owned" in plane.kubectl("get", "configmap", "-o", "name"):
        assert time.monotonic() < deadline, "the owned ConfigMap was not collected within 30 s"
        time.sleep(0.1)


@pytest.mark.cluster
def test_an_error_of_kubectl_is_one_sentence(plane):
    with pytest.raises(LocalPlaneError, match=r"kubectl .*NotFound"):
        plane.kubectl("get", "iw", "absent", "-n", "default")
