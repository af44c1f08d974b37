"""Fixtures that every room shares: one local control plane a test session."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from parkade.local.plane import Plane

# No test asserts a time; and continuous integration judges the change, not the luck of the draw.
settings.register_profile("parkade", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("parkade")


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A running control plane with Parkade's CRDs and namespace; builds the servers when the cache is empty."""
    plane = Plane(tmp_path_factory.mktemp("plane"), say=print)
    try:
        plane.start_control_plane()
        plane.install()
        yield plane
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def repository_root() -> Path:
    """The checkout under test."""
    return Path(__file__).resolve().parents[1]
