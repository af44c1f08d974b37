"""What is gathered from a real API server."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from handlers.world import region, triton_pool, vehicle_pool
from parkade.cluster import ClusterClient, read
from parkade.cluster.resources import CONFIG_MAPS, REGIONS, TRITON_POOLS, VEHICLE_POOLS

pytestmark = pytest.mark.cluster
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def priced(client: ClusterClient, namespace: str, tmp_path) -> Iterator[None]:
    """A region and a pool of each kind, each with a series of its own in one ConfigMap."""
    owners = ((REGIONS, region()), (VEHICLE_POOLS, vehicle_pool()), (TRITON_POOLS, triton_pool(tmp_path, (1, 2))))
    text = {resource.plural: f"2026-01-01T00:00:00Z,{number}" for number, (resource, _) in enumerate(owners)}
    client.create(
        CONFIG_MAPS.path(namespace),
        {"apiVersion": CONFIG_MAPS.api, "kind": "ConfigMap", "metadata": {"name": "prices"}, "data": text},
    )
    for resource, manifest in owners:
        manifest["spec"]["energyPrice"] = {"series": {"configMap": "prices", "key": resource.plural}}
        client.create(resource.path(), manifest)
    yield
    for resource, manifest in owners:
        client.delete(resource.path(name=manifest["metadata"]["name"]))


@pytest.mark.usefixtures("priced")
def test_series_of_regions_and_of_both_kinds_of_pools_are_read(client: ClusterClient, namespace: str) -> None:
    snapshot = read(client, namespace, term=1, now=NOW).snapshot
    assert [(key, text[-1]) for _, key, text in snapshot.price_series] == [
        ("regions", "0"), ("tritonpools", "2"), ("vehiclenodepools", "1"),
    ]  # fmt: skip
