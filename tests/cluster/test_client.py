import threading

import pytest

from parkade.cluster import ClusterClient, TokenBucket
from parkade.cluster.resources import CONFIG_MAPS, REGIONS, WORKLOADS
from parkade.errors import ClusterRefused, ClusterUnavailable


class Clock:
    def __init__(self):
        self.now, self.slept = 0.0, []

    def sleep(self, seconds):
        self.slept.append(seconds)


def test_a_burst_is_free_and_then_each_request_waits_its_turn():
    clock = Clock()
    bucket = TokenBucket(10.0, 3, lambda: clock.now, clock.sleep)
    for _ in range(5):
        bucket.take()
    assert clock.slept == pytest.approx([0.1, 0.2])


def test_tokens_come_back_with_time_up_to_the_burst():
    clock = Clock()
    bucket = TokenBucket(10.0, 3, lambda: clock.now, clock.sleep)
    for _ in range(3):
        bucket.take()
    clock.now = 100.0
    for _ in range(4):
        bucket.take()
    assert clock.slept == pytest.approx([0.1])


def test_paths():
    assert REGIONS.path(name="us-ca", subresource="status") == "/apis/parkade.dev/v1alpha1/regions/us-ca/status"
    assert WORKLOADS.path("vision", "x") == "/apis/parkade.dev/v1alpha1/namespaces/vision/inferenceworkloads/x"
    assert CONFIG_MAPS.path() == "/api/v1/configmaps"


@pytest.mark.cluster
def test_a_missing_object_is_a_refusal_with_the_servers_own_sentence(client):
    with pytest.raises(ClusterRefused, match=r'regions\.parkade\.dev "nowhere" not found') as caught:
        client.get(REGIONS.path(name="nowhere"))
    assert caught.value.not_found


@pytest.mark.cluster
def test_a_rule_of_the_api_server_is_a_refusal(client):
    body = {"apiVersion": REGIONS.api, "kind": "Region", "metadata": {"name": "bad"}, "spec": {"jurisdiction": "US"}}
    with pytest.raises(ClusterRefused, match="energyPrice") as caught:
        client.create(REGIONS.path(), body)
    assert caught.value.status == 422


@pytest.mark.cluster
def test_a_list_reads_every_page(client, namespace):
    for number in range(7):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"page-{number}", "labels": {"t": "p"}}}
        client.create(CONFIG_MAPS.path(namespace), body)
    names = [item["metadata"]["name"] for item in client.list(CONFIG_MAPS.path(namespace), "t=p", page=3)]
    assert names == [f"page-{number}" for number in range(7)]


@pytest.mark.cluster
def test_deleting_what_is_gone_is_no_error(client, namespace):
    client.delete(CONFIG_MAPS.path(namespace, "never-was"))


@pytest.mark.cluster
def test_threads_share_a_client(client):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(client.list(REGIONS.path()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8


def test_no_api_server_is_unavailable(tmp_path):
    file = tmp_path / "kubeconfig"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n"
    )
    client = ClusterClient.connect(10, 10, file)
    with pytest.raises(ClusterUnavailable, match="the API server does not answer"):
        client.get(REGIONS.path())


def test_no_kubeconfig_says_how_to_log_in(tmp_path):
    with pytest.raises(ClusterUnavailable, match="set KUBECONFIG"):
        ClusterClient.connect(10, 10, tmp_path / "missing")
