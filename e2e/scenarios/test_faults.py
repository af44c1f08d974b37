"""Promises under failure: kill -9 of any part during traffic fails no request, and the state is right soon after."""

import time

import pytest

from demo.client import Traffic
from demo.run import WORKLOADS
from world import World

RIGHT_AGAIN_SECONDS = 30.0


@pytest.mark.parametrize("victim", ["operator", "carlet", "nats-server", "triton-0"])
def test_kill_minus_nine_fails_no_request(world: World, questions, victim):
    before = {key: world.places(key) for key in WORKLOADS}
    with Traffic(world.loads(questions, WORKLOADS, seconds=14), seconds=60) as traffic:
        time.sleep(3)
        world.plane.processes.kill(victim)
        time.sleep(3)
        world.plane.processes.restart(victim)
        outcome = traffic.finish()
    assert outcome.failures == ()
    assert outcome.unsent == 0
    world.await_that(
        "every workload is Placed and Ready again", lambda: world.all_ready(WORKLOADS), RIGHT_AGAIN_SECONDS
    )
    world.await_that(
        "every workload is where it was", lambda: {key: world.places(key) for key in WORKLOADS} == before, 30
    )


def test_a_restarted_triton_gets_its_models_back(world: World):
    held = world.models_on_triton()
    assert any(held.values()), "the demo places nothing on Triton"
    world.plane.processes.kill("triton-1")
    world.plane.processes.restart("triton-1")
    world.await_that("Triton holds what it held", lambda: world.models_on_triton() == held, RIGHT_AGAIN_SECONDS)


def test_a_triton_that_stays_down_is_named_and_the_other_goes_on(world: World, questions):
    world.plane.processes.kill("triton-1")
    try:
        with Traffic(world.loads(questions, WORKLOADS, seconds=8), seconds=40) as traffic:
            world.await_that("the pool says which server is down", lambda: "1 of 2" in world.pool_says(), 30)
            outcome = traffic.finish()
        assert outcome.failures == ()
        assert "TritonUnavailable" in world.pool_says()
    finally:
        world.plane.processes.restart("triton-1")
    world.await_that("both servers answer", lambda: "2 of 2" in world.pool_says(), RIGHT_AGAIN_SECONDS)


@pytest.mark.parametrize("kind", ["pods", "nodes"])
def test_deleting_the_kubernetes_face_unloads_nothing(world: World, questions, kind):
    names = world.faces(kind)
    told = world.desired_revisions()
    with Traffic(world.loads(questions, WORKLOADS, seconds=8), seconds=40) as traffic:
        world.plane.kubectl("delete", kind, "-A", "-l", "parkade.dev/cell", "--wait=false")
        world.await_that(
            f"the {kind} {', '.join(names)} are back and ready",
            lambda: world.faces(kind) == names and world.faces_ready(),
            RIGHT_AGAIN_SECONDS,
        )
        outcome = traffic.finish()
    assert outcome.failures == ()
    assert world.desired_revisions() == told, "some car was told to unload"
