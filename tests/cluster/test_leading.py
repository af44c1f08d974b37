import threading

import pytest

from parkade.cluster import Leadership
from parkade.cluster.resources import CELLS, LEASES
from parkade.errors import ClusterUnavailable

pytestmark = pytest.mark.cluster
LEASE_SECONDS = 2.0


class Candidate:
    """A replica with a way to await its next change."""

    def __init__(self, client, namespace, name):
        self.changed = threading.Condition()
        self.leadership = Leadership(client, namespace, name, LEASE_SECONDS, self._notify)

    def _notify(self):
        with self.changed:
            self.changed.notify_all()

    def await_term(self, wanted, timeout=20.0):
        with self.changed:
            met = self.changed.wait_for(lambda: self.leadership.term == wanted, timeout)
        assert met, self.leadership.term


@pytest.fixture
def candidate(client, namespace):
    made = []

    def make(name, its_client=client):
        made.append(Candidate(its_client, namespace, name))
        made[-1].leadership.start()
        return made[-1]

    yield make
    for one in made:
        one.leadership.stop()


def lease(client, namespace):
    return client.get(LEASES.path(namespace, "parkade-operator"))["spec"]


def test_the_first_leads_with_term_1_and_a_second_waits(candidate, client, namespace):
    first = candidate("a")
    first.await_term(1)
    second = candidate("b")
    renewed = lease(client, namespace)["renewTime"]
    assert second.leadership.term is None
    seen = threading.Event()
    while lease(client, namespace)["renewTime"] == renewed:  # one renewal later nothing has changed
        seen.wait(0.05)
    assert (first.leadership.term, second.leadership.term) == (1, None)


def test_a_clean_stop_hands_over_with_a_higher_term(candidate, client, namespace):
    first = candidate("a")
    first.await_term(1)
    second = candidate("b")
    first.leadership.stop()
    second.await_term(2, timeout=LEASE_SECONDS)
    assert lease(client, namespace)["leaseTransitions"] == 2


class Breakable:
    """The real client of a replica whose network can be cut."""

    def __init__(self, client):
        self._client, self.cut = client, False

    def __getattr__(self, name):
        if self.cut:
            raise ClusterUnavailable("cut off")
        return getattr(self._client, name)


def test_a_replica_that_is_cut_off_stops_before_another_starts(candidate, client):
    broken = Breakable(client)
    first = candidate("a", broken)
    first.await_term(1)
    second = candidate("b")
    broken.cut = True
    second.await_term(2)
    assert first.leadership.term is None


def test_a_restarted_leader_of_the_same_name_begins_a_new_term(candidate):
    first = candidate("a")
    first.await_term(1)
    first.leadership.stop()
    candidate("a").await_term(2)


def test_a_lease_that_was_deleted_begins_above_every_term_that_a_cell_carries(candidate, client, namespace):
    name, spec = f"{namespace}-0", {"pool": namespace, "region": "us-ca", "shard": 0, "maxVehicles": 5, "term": 41}
    client.create(CELLS.path(), {"apiVersion": CELLS.api, "kind": CELLS.kind, "metadata": {"name": name}, "spec": spec})
    try:
        first = candidate("a")
        first.await_term(42)
        client.delete(LEASES.path(namespace, "parkade-operator"))
        client.apply(CELLS.path(name=name), {"apiVersion": CELLS.api, "kind": CELLS.kind, "spec": spec | {"term": 50}})
        first.await_term(51)
    finally:
        client.delete(CELLS.path(name=name))
