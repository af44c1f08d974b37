"""Collections that watches keep, against a real API server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handlers.world import eventually, region
from parkade.api import Region
from parkade.cluster import ClusterClient, Following, Lists
from parkade.cluster.following import Follower
from parkade.cluster.resources import PODS, REGIONS
from parkade.cluster.views import REGION_VIEW, View
from parkade.errors import ClusterRefused, ClusterUnavailable
from parkade.local.plane import Plane

pytestmark = pytest.mark.cluster


def named(name: str) -> dict[str, Any]:
    return region() | {"metadata": {"name": name}}


def pod(name: str) -> dict[str, Any]:
    spec = {"nodeName": "nowhere", "containers": [{"name": "c", "image": "none"}], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"followed": "yes"}}, "spec": spec}


@pytest.fixture
def own(plane: Plane) -> Iterator[ClusterClient]:
    """A client of which one may be told what it writes."""
    client = ClusterClient.connect(1000, 1000, plane.kubeconfig)
    yield client
    client.close()


def test_what_we_wrote_is_in_the_next_collection(own: ClusterClient) -> None:
    following = Following(own)
    try:
        for number in range(20):
            name = f"followed-{number}"
            own.create(REGIONS.path(), named(name))
            assert name in names(following)
            carbon = {"gramsPerKWh": 100 + number}
            own.apply(REGIONS.path(name=name), named(name) | {"spec": region()["spec"] | {"carbonIntensity": carbon}})
            found = {row.metadata.name: row for row in following.collect(REGION_VIEW) if isinstance(row, Region)}
            assert found[name].spec.carbon_intensity.grams_per_kwh == 100 + number
            own.delete(REGIONS.path(name=name))
            assert name not in names(following)
    finally:
        following.close()


def test_pods_that_end_at_once_are_not_seen_again(own: ClusterClient, client: ClusterClient, namespace: str) -> None:
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    eventually(lambda: client.get(account), "the namespace has its account")
    view = View(PODS, lambda item: item["metadata"]["name"], "followed=yes")
    following = Following(own, (view,))
    try:
        for number in range(10):
            own.create(PODS.path(namespace), pod(f"brief-{number}"))
            assert f"brief-{number}" in following.collect(view)
            own.delete(PODS.path(namespace, f"brief-{number}"), {"gracePeriodSeconds": 0})
            assert f"brief-{number}" not in following.collect(view)
    finally:
        following.close()


def test_what_others_write_comes_by_itself_and_only_that_is_parsed(client: ClusterClient) -> None:
    kept = []

    def keep(item: dict[str, Any]) -> str:
        kept.append(item["metadata"]["name"])
        return kept[-1]

    follower = Follower(client, View(REGIONS, keep))
    client.create(REGIONS.path(), named("quiet"))
    follower.start()
    try:
        assert "quiet" in follower.items()
        client.create(REGIONS.path(), named("lively"))
        eventually(lambda: "lively" in follower.items(), "another's object is seen")
        follower.forget()
        client.create(REGIONS.path(), named("later"))  # ends the wait for an event
        eventually(lambda: "later" in follower.items(), "it is listed anew")
        assert kept.count("quiet") == 1
        client.delete(REGIONS.path(name="lively"))
        eventually(lambda: "lively" not in follower.items(), "its end is seen")
    finally:
        follower.stop()
        for name in ("quiet", "later"):
            client.delete(REGIONS.path(name=name))


def test_a_version_that_is_forgotten_is_listed_anew(client: ClusterClient) -> None:
    follower = Follower(client, REGION_VIEW)
    follower._version = "1"  # noqa: SLF001 -- of before the API server's memory begins
    follower.start()
    try:
        assert sorted(map(str, follower.items())) == sorted(map(str, Lists(client).collect(REGION_VIEW)))
    finally:
        follower.stop()


def test_an_unknown_kind_and_an_absent_server_are_told(plane: Plane, client: ClusterClient, tmp_path: Path) -> None:
    missing = Follower(client, View(type(REGIONS)("nothing.dev/v1", "Nothing", "nothings", namespaced=False), str))
    missing.start()
    with pytest.raises(ClusterRefused) as refusal:
        missing.items()
    assert refusal.value.not_found
    missing.stop()
    nobody = tmp_path / "kubeconfig"
    nobody.write_text(plane.kubeconfig.read_text().replace(client.server, "https://127.0.0.1:9"))
    away = ClusterClient.connect(1000, 1000, nobody)
    follower = Follower(away, REGION_VIEW)
    follower.start()
    with pytest.raises(ClusterUnavailable):
        follower.items()
    follower.stop()


def names(following: Following) -> set[str]:
    return {row.metadata.name for row in following.collect(REGION_VIEW) if isinstance(row, Region)}
