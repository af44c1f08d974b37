"""The chart's Deployments as real pods: installed, asked, upgraded, broken and removed."""

from dataclasses import replace

import pytest

from demo.client import Load, Traffic
from localnode.release import Release
from localnode.serving import REQUESTS

pytestmark = [pytest.mark.cluster, pytest.mark.triton, pytest.mark.slow, pytest.mark.timeout(900)]

PODS = {"parkade-operator": 2, "carlet": 2, "parkade-router": 2, "parkade-nats": 1}
READY_SECONDS = 60.0
"""What an installation may take with its images present."""
ANOTHER = [
    flag
    for component in ("operator", "carlet", "router", "nats")
    for flag in ("--set", f"{component}.resources.limits.memory=900Mi")
]
"""Values of which every pod is made anew."""


def test_every_pod_is_ready_within_a_minute_of_the_installation(prepared: Release) -> None:
    seconds = prepared.install()
    print(f"helm install --wait: {seconds:.1f} s")
    assert counts(prepared) == PODS
    assert prepared.all_ready()
    assert set(prepared.restarts().values()) == {0}
    assert seconds < READY_SECONDS


def test_triton_answers_through_the_service_of_a_workload(load: Load) -> None:
    with Traffic([replace(load, count=200)], seconds=60) as traffic:
        outcome = traffic.finish()
    assert (outcome.failures, outcome.unsent) == ((), 0)


def test_no_request_fails_while_everything_is_upgraded_and_rolled_back(release: Release, load: Load) -> None:
    before = {pod["metadata"]["uid"] for pod in release.pods()}
    with Traffic([load], seconds=600) as traffic:
        release.install(*ANOTHER)
        upgraded = {pod["metadata"]["uid"] for pod in release.pods()}
        release.helm("rollback", "parkade", "--wait", "--timeout", "180s")
        answered = traffic.answered
        outcome = traffic.finish()
    assert not before & upgraded
    assert not upgraded & {pod["metadata"]["uid"] for pod in release.pods()}
    print(f"{answered} of {REQUESTS} requests were answered while all pods were replaced twice")
    assert (outcome.failures[:5], outcome.unsent) == ((), 0)


def test_pods_go_on_while_containerd_and_the_kubelet_are_dead(release: Release, load: Load) -> None:
    restarts = release.restarts()
    with Traffic([replace(load, count=2000)], seconds=300) as traffic:
        release.node.kill("kubelet")
        release.node.kill("containerd")
        release.node.await_that("requests are answered meanwhile", lambda: traffic.answered > 300)
        release.node.start_containerd()
        release.node.start_kubelet()
        outcome = traffic.finish()
    release.node.await_that("the node is Ready", release.node.is_ready)
    release.node.await_that("every pod is Ready", release.all_ready)
    assert release.restarts() == restarts
    assert (outcome.failures[:5], outcome.unsent) == ((), 0)


def test_a_pod_that_is_deleted_comes_back(release: Release, load: Load) -> None:
    for component in PODS:
        release.kubectl("delete", "pod", release.pods(component)[0]["metadata"]["name"], "--wait=false")
    release.node.await_that("every pod is Ready", lambda: release.all_ready() and counts(release) == PODS)
    with Traffic([replace(load, count=200)], seconds=60) as traffic:
        assert traffic.finish().failures == ()


def counts(release: Release) -> dict[str, int]:
    return {component: len(release.pods(component)) for component in PODS}
