"""One world for all scenarios: the demo's pools, cars, models and workloads, started once."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from demo.inputs import Sample, samples
from demo.models import fetch
from demo.run import CARS, MANIFESTS, WORKLOADS, placeholders
from world import World


@pytest.fixture(scope="session")
def models() -> Mapping[str, Path]:
    """The demo's ONNX files."""
    return fetch(print)


@pytest.fixture(scope="session")
def questions(models: Mapping[str, Path]) -> Mapping[str, tuple[Sample, ...]]:
    """Real questions with the answers of the models run directly."""
    return samples(models, print)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, models: Mapping[str, Path]) -> Iterator[World]:
    """The world with every part started; stopped by process id at the end."""
    world = World(tmp_path_factory.mktemp("world"), print)
    try:
        world.start()
        for car in CARS:
            world.start_car(car)
        world.render(MANIFESTS, placeholders(world, models))
        yield world
    finally:
        world.stop(purge=False)


HOME = {
    "vision/sign-detector": {"austin-a100": 2},
    "vision/sign-reader": {"ca-home-hw4-0": 2},
    "speech/voice-activity": {"tx-starlink-hw4-0": 2},
}
"""Where the demo's plan puts each workload while nothing is broken."""


@pytest.fixture
def world(running: World) -> World:
    """The world at rest: the demo's manifests applied, every workload ready at home, nothing draining."""
    running.apply(running.manifests)
    running.await_ready(WORKLOADS)
    running.await_that("every workload is at home", lambda: {key: running.places(key) for key in HOME} == HOME, 60)
    pods = ["pod/voice-activity-tx-starlink-hw4-0", "pod/sign-reader-ca-home-hw4-0"]
    running.await_that("only their pods are there", lambda: running.faces("pods") == pods)
    running.await_that("nodes and pods are ready", running.faces_ready)
    return running
