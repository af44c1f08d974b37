"""Where a download may be led: one redirect, to HTTPS, without a word of who the car is."""

import asyncio
import subprocess

import pytest

from parkade.errors import DigestMismatch, SourceUnavailable
from parkade.vehicle.pace import Pace
from parkade.vehicle.store import Store
from parkade.vehicle.transfer import Roads, UrlRefused
from vehicle.peers import Shelf, handler_of, over_tls

CONTENT = bytes(range(256)) * 600
SIZE = len(CONTENT)


@pytest.fixture
def bucket(pki):
    """Another HTTPS server, to which the store hands over; it would take a client's certificate if one came."""
    bucket = Shelf()
    with over_tls(pki, handler_of(bucket), ask=True) as bucket.port:
        yield bucket


@pytest.fixture
def store(tmp_path, pki) -> Store:
    return Store(
        tmp_path / "models", 10**6, Roads(pki.vehicle.context, pki.vehicle.strangers, Pace(), lambda _: None), "boot"
    )


def fetch(store, shelf, digest, size=SIZE):
    return asyncio.run(store.fetch(digest, size, shelf.url(digest), frozenset()))


def test_a_store_may_hand_over_to_a_bucket_which_learns_nothing_of_the_car(store, shelf, bucket):
    digest = bucket.put(CONTENT)
    shelf.elsewhere = bucket.url(digest)
    bucket.cut.append(100_000)
    with pytest.raises(SourceUnavailable):
        fetch(store, shelf, digest)
    assert fetch(store, shelf, digest).read_bytes() == CONTENT
    assert len(shelf.ranges) == 2, "carlet is asked once a download"
    assert bucket.ranges[-1].startswith("bytes=")
    for head in bucket.heads:
        assert {name.lower() for name in head} <= {
            "host", "accept", "accept-encoding", "connection", "user-agent", "range",
        }  # fmt: skip
    assert bucket.peers == [None] * len(bucket.peers), "no certificate of the car was shown"


def test_the_bucket_is_held_to_the_same_digest_and_size(store, shelf, bucket):
    digest = bucket.put(CONTENT)
    bucket.contents[digest] = CONTENT[:-1] + b"!"
    shelf.elsewhere = bucket.url(digest)
    with pytest.raises(DigestMismatch, match="sha256"):
        fetch(store, shelf, digest)
    bucket.contents[digest] = CONTENT + b"more"
    with pytest.raises(DigestMismatch, match="announced"):
        fetch(store, shelf, digest)
    bucket.honour_range = False
    with pytest.raises(DigestMismatch, match="announced"):
        fetch(store, shelf, digest)
    assert store.held() == ()


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:{port}/models/{digest}", "ftp://127.0.0.1/x", "https://user:word@127.0.0.1:{port}/models/{digest}",
     "/models/{digest}", "file:///etc/passwd", "https://[", "https://127.0.0.1/" + "x" * 9000],
)  # fmt: skip
def test_nothing_but_https_is_followed(store, shelf, bucket, target):
    digest = bucket.put(CONTENT)
    shelf.elsewhere = target.format(port=bucket.port, digest=digest)
    with pytest.raises(SourceUnavailable, match=r"HTTPS|interrupted") as caught:
        fetch(store, shelf, digest)
    assert "word" not in str(caught.value)
    assert bucket.ranges == []


def test_no_second_redirect_is_followed(store, shelf, bucket):
    digest = bucket.put(CONTENT)
    shelf.elsewhere = bucket.url(digest)
    bucket.elsewhere = bucket.url(digest)
    with pytest.raises(SourceUnavailable, match="twice"):
        fetch(store, shelf, digest)
    assert len(bucket.ranges) == 1


def test_a_bucket_whose_url_expired_is_asked_for_again_at_the_store(store, shelf, bucket):
    digest = bucket.put(CONTENT)
    shelf.elsewhere = bucket.url(digest)
    bucket.statuses.append(403)
    with pytest.raises(SourceUnavailable) as caught:
        fetch(store, shelf, digest)
    assert not isinstance(caught.value, UrlRefused), "the store's own URL is good, no hello is needed"
    assert fetch(store, shelf, digest).read_bytes() == CONTENT


def test_a_bucket_of_an_unknown_authority_is_not_read(store, shelf, tmp_path):
    key, certificate = tmp_path / "key", tmp_path / "crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", key, "-out", certificate, "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    stranger = Shelf()
    digest = stranger.put(CONTENT)
    with over_tls(None, handler_of(stranger), files=(certificate, key)) as stranger.port:
        shelf.elsewhere = stranger.url(digest)
        with pytest.raises(SourceUnavailable):
            fetch(store, shelf, digest)
    assert stranger.ranges == []
