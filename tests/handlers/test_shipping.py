from pathlib import Path

import pytest

import worlds
from parkade import serving
from parkade.cluster import ClusterClient
from parkade.handlers.shipping import REPOSITORY_SECONDS, ModelShipping
from parkade.handlers.working import Works
from parkade.snapshot import StoredModel


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shipping(tmp_path: Path, clock: Clock):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: x, user: x}}],"
        " clusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}], users: [{name: x, user: {}}]}"
    )
    works = Works(lambda _: None)
    store = serving.ModelStore((tmp_path / "store").as_uri())
    made = ModelShipping(ClusterClient.connect(10, 10, kubeconfig), store, works, clock)
    yield made
    works.close()
    made.close()


def test_repositories_are_looked_at_now_and_then_and_always_while_something_is_deleted(shipping, clock, tmp_path):
    (tmp_path / "repository" / "sign-reader" / "7").mkdir(parents=True)
    pool = worlds.servers(models={"repository": (tmp_path / "repository").as_uri()})
    facts = worlds.snapshot([pool, worlds.workload()])
    found = (StoredModel(pool.key, "sign-reader", (7,)),)
    assert shipping.stored(facts) == found
    clock.now = REPOSITORY_SECONDS - 1
    assert shipping.stored(facts) == ()
    gone = worlds.workload("gone", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert shipping.stored(worlds.snapshot([pool, gone])) == found
    clock.now *= 3
    assert shipping.stored(facts) == found
