"""What people do with manifests: scale them, write them wrong, delete them."""

import hashlib
import json

import pytest

from demo.client import Traffic
from demo.run import WORKLOADS
from parkade.errors import LocalPlaneError
from world import World


def test_kubectl_scale_changes_the_replicas(world: World):
    try:
        world.plane.kubectl("scale", "iw/sign-reader", "-n", "vision", "--replicas=3")
        world.await_that("three replicas run", lambda: sum(world.places("vision/sign-reader").values()) >= 3, 30)
    finally:
        world.plane.kubectl("scale", "iw/sign-reader", "-n", "vision", "--replicas=2")


def test_get_and_explain_read_well(world: World):
    table = world.plane.kubectl("get", "iw,vnp,vc,tp,rg,ge", "-A")
    assert "sign-reader" in table
    assert "austin-a100" in table
    assert "replicas" in world.plane.kubectl("explain", "iw.spec.placement").lower()
    pods = world.plane.kubectl("get", "pods", "-A", "-o", "wide")
    assert "ca-home-hw4-0" in pods


def _digest(spec, _folder):
    spec["model"]["artifacts"][0]["sha256"] = "0" * 64


def _source(spec, _folder):
    missing = {"source": "file:///nowhere/model.onnx", "sha256": "1" * 64}  # a digest that no other source has brought
    spec["model"]["artifacts"][0] |= missing


def _memory(spec, _folder):
    spec["model"]["memory"] = "900Gi"


def _hardware(spec, _folder):
    spec["model"]["profiles"] = [{**profile, "hardware": "hw99"} for profile in spec["model"]["profiles"][:1]]


def _model_name(spec, _folder):
    spec["model"]["name"] = "sign-reader"


def _not_a_model(spec, folder):
    file = folder / "garbage.onnx"
    file.write_bytes(b"this is no model")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    spec["model"]["artifacts"][0] |= {"source": file.as_uri(), "sha256": digest}


@pytest.mark.parametrize(
    ("broken", "condition", "sentence"),
    [
        (_digest, "Placed", "sha256"),
        (_source, "Placed", "nowhere"),
        (_memory, "Placed", "900Gi"),
        (_hardware, "FieldsHonoured", "hw99"),
        (_model_name, "Placed", "sign-reader"),
        (_not_a_model, "Ready", "ModelRejected"),
    ],
)
def test_a_broken_workload_says_why_and_hurts_nobody(world: World, questions, tmp_path, broken, condition, sentence):
    manifest = world.variant("vision/sign-reader", "broken")
    broken(manifest["spec"], tmp_path)
    with Traffic(world.loads(questions, WORKLOADS, seconds=6), seconds=40) as traffic:
        world.plane.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        try:
            world.await_that(
                f"vision/broken complains of {sentence}",
                lambda: sentence in world.complaint("vision/broken", condition),
                40,
            )
            assert world.all_ready(WORKLOADS)
        finally:
            world.plane.kubectl("delete", "iw", "broken", "-n", "vision", "--timeout=40s")
        outcome = traffic.finish()
    assert outcome.failures == ()


def test_a_wrong_unit_is_refused_by_the_api_server(world: World):
    manifest = world.variant("vision/sign-reader", "wrong-unit")
    manifest["spec"]["latency"]["target"] = "150"
    with pytest.raises(LocalPlaneError, match=r"latency.target.*150ms"):
        world.plane.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))


def test_deleting_every_manifest_leaves_nothing_behind(world: World):
    world.plane.kubectl("delete", "-f", str(world.manifests), "--timeout=60s")
    world.await_that("nodes, pods, services and models are gone", lambda: world.leftovers() == [], 40)
    assert world.leftovers() == []
