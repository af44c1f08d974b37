import asyncio
import shutil
import ssl
import time
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parkade.errors import DigestMismatch, SourceUnavailable
from parkade.vehicle.pace import Pace
from parkade.vehicle.store import SPARE, DiskFull, Store
from parkade.vehicle.transfer import Roads, UrlRefused
from parkade.vehicle.worth import Worth
from vehicle.peers import digest_of

CONTENT = bytes(range(256)) * 400
SIZE = len(CONTENT)


class Received:
    def __init__(self) -> None:
        self.total = 0

    def __call__(self, count: int) -> None:
        self.total += count


def a_store(directory, pki, received, quota=10**6, boot="boot") -> Store:
    roads = Roads(pki.vehicle.context, pki.vehicle.strangers, Pace(), received)
    return Store(directory, quota, roads, boot)


@pytest.fixture
def received() -> Received:
    return Received()


@pytest.fixture
def store(tmp_path, pki, received) -> Store:
    return a_store(tmp_path / "models", pki, received)


def fetch(store, shelf, digest, size=SIZE, keep=frozenset()):
    return asyncio.run(store.fetch(digest, size, shelf.url(digest), keep))


def test_a_model_is_fetched_verified_and_held(store, shelf, received):
    digest = shelf.put(CONTENT)
    assert fetch(store, shelf, digest).read_bytes() == CONTENT
    assert store.held() == (digest,)
    assert asyncio.run(store.verified(digest)).read_bytes() == CONTENT
    assert received.total == len(CONTENT)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, len(CONTENT) - 1))
def test_a_download_interrupted_at_any_byte_goes_on_there(tmp_path, pki, shelf, cut):
    received = Received()
    store = a_store(tmp_path / f"cut-{cut}-{time.monotonic_ns()}", pki, received)
    digest = shelf.put(CONTENT)
    shelf.cut.append(cut)
    shelf.ranges.clear()
    with pytest.raises(SourceUnavailable, match="goes on"):
        fetch(store, shelf, digest)
    assert store.held() == ()
    assert fetch(store, shelf, digest).read_bytes() == CONTENT
    begins = [int(asked.removeprefix("bytes=").partition("-")[0]) for asked in shelf.ranges]
    assert cut in begins, "it went on at that byte"
    assert received.total == len(CONTENT), "no byte came twice"


def test_a_source_without_range_starts_again(store, shelf):
    digest = shelf.put(CONTENT)
    shelf.honour_range = False
    shelf.cut.append(5000)
    with pytest.raises(SourceUnavailable):
        fetch(store, shelf, digest)
    assert fetch(store, shelf, digest).read_bytes() == CONTENT


def test_other_bytes_than_ordered_are_refused_and_removed(store, shelf, tmp_path):
    digest = digest_of(CONTENT)
    shelf.contents[digest] = CONTENT[:-1] + b"x"
    with pytest.raises(DigestMismatch, match="sha256"):
        fetch(store, shelf, digest)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_source_that_sends_more_than_announced_is_cut_off(store, shelf, received):
    digest = shelf.put(CONTENT * 5)
    with pytest.raises(DigestMismatch, match="announced"):
        fetch(store, shelf, digest, size=1000)
    assert received.total < len(CONTENT) * 5
    assert store.held() == ()


@pytest.mark.parametrize(
    ("status", "error"), [(403, UrlRefused), (404, UrlRefused), (500, SourceUnavailable), (302, SourceUnavailable)]
)
def test_a_source_that_refuses_is_unavailable(store, shelf, status, error):
    digest = shelf.put(CONTENT)
    shelf.statuses.append(status)
    with pytest.raises(error) as caught:
        fetch(store, shelf, digest)
    assert "signature" not in str(caught.value), "a URL is a secret"


def test_a_source_whose_certificate_is_from_elsewhere_is_not_read(tmp_path, shelf):
    roads = Roads(ssl.create_default_context, ssl.create_default_context, Pace(), Received())
    stranger = Store(tmp_path / "models", 10**6, roads, "boot")
    digest = shelf.put(CONTENT)
    with pytest.raises(SourceUnavailable):
        fetch(stranger, shelf, digest)
    assert shelf.ranges == []


def test_what_nothing_refers_to_is_evicted_for_room_and_what_is_referred_to_never(tmp_path, pki, shelf):
    store = a_store(tmp_path / "models", pki, Received(), quota=2500)
    contents = [bytes([letter]) * 1000 for letter in b"abcd"]
    a, b, c, d = (shelf.put(content) for content in contents)
    fetch(store, shelf, a, 1000)
    fetch(store, shelf, b, 1000)
    fetch(store, shelf, c, 1000, keep=frozenset({a}))
    assert set(store.held()) == {a, c}, "b was not referred to"
    with pytest.raises(DiskFull, match=r"1000 bytes are wanted and 0 of 2000 may go, of the 2500"):
        fetch(store, shelf, d, 1000, keep=frozenset({a, c}))
    with pytest.raises(DiskFull, match=r"2000 bytes are wanted and 1000 of 2000 may go"):
        fetch(store, shelf, d, 2000, keep=frozenset({a}))
    assert set(store.held()) == {a, c}, "nothing goes where that would not make room enough"


def test_room_is_bounded_by_the_disk_itself(tmp_path, pki, shelf, monkeypatch):
    store = a_store(tmp_path / "models", pki, Received())
    digest = shelf.put(CONTENT)
    free = SPARE + SIZE - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(DiskFull, match="free the car's disk"):
        fetch(store, shelf, digest)
    free += SIZE
    assert fetch(store, shelf, digest)


def test_what_is_cheapest_to_have_again_goes_first(tmp_path, pki, shelf):
    """Of three files, the one that was loaded often stays, also over a restart."""
    store = a_store(tmp_path / "models", pki, Received(), quota=3500)
    a, b, c, d = (shelf.put(bytes([letter]) * 1000) for letter in b"abcd")
    for digest in (a, b, c):
        fetch(store, shelf, digest, 1000)
    for digest in (a, c, c, a, b):
        asyncio.run(store.verified(digest))
    again = a_store(tmp_path / "models", pki, Received(), quota=3500)
    fetch(again, shelf, d, 1000)
    assert set(again.held()) == {a, c, d}


def test_worth_weighs_uses_size_and_the_link_by_which_a_file_came(tmp_path):
    worth = Worth(tmp_path / "worth.json")
    worth.came("slow", 10**6, 1e5)
    worth.came("fast", 10**6, 1e8)
    worth.came("large", 10**8, 1e8)
    assert worth.order(["slow", "fast", "large"]) == ["large", "fast", "slow"]
    for _ in range(200):
        worth.used("large", 10**8)
    assert worth.order(["slow", "fast", "large"])[0] == "fast"
    # what goes ages the others: files that were used once upon a time give way
    for name in range(2000):
        worth.came(f"new {name}", 10**6, 1e6)
        worth.evict(f"new {name}")
    worth.came("fresh", 10**6, 1e6)
    assert worth.order(["fresh", "fast", "large", "slow"])[-1] == "fresh"
    assert Worth(tmp_path / "worth.json").order(["fresh", "slow"]) == ["slow", "fresh"]


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"age": "x"}', b'{"age": 1, "files": {"a": [1]}}', b'{"age": 1e999}'])
def test_a_damaged_worth_is_none(tmp_path, damage):
    (tmp_path / "worth.json").write_bytes(damage)
    assert Worth(tmp_path / "worth.json").order(["b", "a"]) == ["a", "b"]


def test_a_file_that_rotted_on_disk_is_not_used(store, shelf):
    digest = shelf.put(CONTENT)
    path = fetch(store, shelf, digest)
    path.write_bytes(CONTENT[:100] + b"!" + CONTENT[101:])
    assert asyncio.run(store.verified(digest)) is None
    assert store.held() == ()
