"""A client of the real API server, and a namespace of its own for each test."""

import itertools
from collections.abc import Iterator

import pytest

from parkade.cluster import ClusterClient
from parkade.local.plane import Plane

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def client(plane: Plane) -> Iterator[ClusterClient]:
    client = ClusterClient.connect(1000, 1000, plane.kubeconfig)
    yield client
    client.close()


@pytest.fixture
def namespace(client: ClusterClient) -> str:
    name = f"cluster-test-{next(_NUMBERS)}"
    client.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name
