"""Staging: one fetch, checked, by digest; failures are facts with a remedy."""

import threading
import time
from pathlib import Path

import fsspec
import pytest

from parkade.errors import SourceUnavailable
from parkade.serving import ModelStore
from serving.conftest import Sources, digest_of

MODEL = bytes(range(256)) * 8192  # 2 MiB: two chunks of the store
DIGEST = digest_of(MODEL)


def settle(store: ModelStore, source: str, digest: str = DIGEST):
    store.stage(digest, source)
    store.wait(digest, 20)
    return store.stage(digest, source)


def visible(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "store").rglob("*") if path.is_file())


def test_a_source_is_fetched_once_and_kept_by_its_digest(store, sources: Sources, tmp_path):
    sources.files["/m.onnx"] = MODEL
    first = store.stage(DIGEST, f"{sources.url}/m.onnx")
    assert first.state == "Fetching"
    store.wait(DIGEST, 20)
    fact = store.stage(DIGEST, f"{sources.url}/m.onnx")
    assert (fact.state, fact.size) == ("Staged", len(MODEL))
    assert (tmp_path / "store" / "sha256" / DIGEST).read_bytes() == MODEL
    store.stage(DIGEST, f"{sources.url}/m.onnx")
    assert sources.asked == ["/m.onnx"]


def test_whether_a_file_is_staged_is_told_without_fetching_it(store, sources: Sources):
    source = f"{sources.url}/m.onnx"
    sources.files["/m.onnx"] = MODEL
    assert store.staged(DIGEST, source) is None
    assert sources.asked == []
    assert settle(store, source) == store.staged(DIGEST, source)


def test_another_process_finds_what_was_staged_without_fetching(store, sources: Sources, tmp_path):
    sources.files["/m.onnx"] = MODEL
    settle(store, f"{sources.url}/m.onnx")
    again = ModelStore(f"file://{tmp_path}/store")
    assert again.stage(DIGEST, f"{sources.url}/m.onnx").state == "Staged"
    again.close()
    assert len(sources.asked) == 1


def test_while_it_is_fetched_nothing_is_visible_under_the_digest(store, sources: Sources, tmp_path):
    sources.files["/m.onnx"] = MODEL
    sources.slow["/m.onnx"] = threading.Event()
    store.stage(DIGEST, f"{sources.url}/m.onnx")
    deadline = time.monotonic() + 10
    while not any(name.startswith(DIGEST + ".") for name in visible(tmp_path)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert store.stage(DIGEST, f"{sources.url}/m.onnx").state == "Fetching"
    assert not (tmp_path / "store" / "sha256" / DIGEST).exists()
    sources.slow["/m.onnx"].set()
    store.wait(DIGEST, 10)
    assert visible(tmp_path) == [DIGEST]


def test_other_bytes_than_named_are_refused_and_leave_no_file(store, sources: Sources, tmp_path):
    sources.files["/m.onnx"] = b"something else"
    fact = settle(store, f"{sources.url}/m.onnx")
    assert (fact.state, fact.reason) == ("Failed", "DigestMismatch")
    assert digest_of(b"something else") in fact.message
    assert "correct the manifest's sha256" in fact.message
    assert visible(tmp_path) == []


def test_a_connection_that_breaks_leaves_no_file(store, sources: Sources, tmp_path):
    sources.files["/m.onnx"] = MODEL
    sources.cut.add("/m.onnx")
    fact = settle(store, f"{sources.url}/m.onnx")
    assert (fact.state, fact.reason) == ("Failed", "SourceUnavailable")
    assert visible(tmp_path) == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{url}/none.onnx", "not found"),
        ("http://127.0.0.1:1/m.onnx", "cannot be fetched"),
        ("file:///no/such/model.onnx", "not found"),
        ("sftpx://somewhere/m.onnx", "Protocol not known"),
    ],
)
def test_a_source_that_does_not_answer_is_a_fact_with_a_remedy(store, sources: Sources, source, said):
    fact = settle(store, source.format(url=sources.url))
    assert (fact.state, fact.reason) == ("Failed", "SourceUnavailable")
    assert said in fact.message
    assert "check the artifact's source" in fact.message


def test_what_may_be_secret_is_not_repeated(store, sources: Sources):
    host = sources.url.removeprefix("http://")
    fact = settle(store, f"http://someone:hunter2@{host}/secret.onnx?signature=abcdef")
    assert "403" in fact.message
    assert "hunter2" not in fact.message
    assert "abcdef" not in fact.message


def test_credentials_reach_the_source(store, sources: Sources):
    sources.files["/m.onnx"] = MODEL
    options = {"headers": {"Authorization": "Bearer t0ken"}}
    store.stage(DIGEST, f"{sources.url}/m.onnx", options)
    store.wait(DIGEST, 10)
    assert sources.headers[-1]["Authorization"] == "Bearer t0ken"


def test_a_failed_fetch_waits_longer_each_time_and_stays_a_failure_meanwhile(tmp_path, sources: Sources):
    now = [0.0]
    store = ModelStore(f"file://{tmp_path}/store", clock=lambda: now[0])
    source = f"{sources.url}/late.onnx"
    settle(store, source)
    asked = len(sources.asked)
    now[0] += 4.9
    assert settle(store, source).state == "Failed"
    assert len(sources.asked) == asked
    now[0] += 0.2
    assert store.stage(DIGEST, source).state == "Failed"
    store.wait(DIGEST, 10)
    assert len(sources.asked) == asked + 1
    store.stage(DIGEST, source)
    now[0] += 9.9
    settle(store, source)
    assert len(sources.asked) == asked + 1
    sources.files["/late.onnx"] = MODEL
    now[0] += 0.2
    assert settle(store, source).state == "Staged"
    store.close()


def test_a_corrected_source_is_tried_at_once(store, sources: Sources):
    sources.files["/right.onnx"] = MODEL
    assert settle(store, f"{sources.url}/wrong.onnx").state == "Failed"
    assert settle(store, f"{sources.url}/right.onnx").state == "Staged"


def test_a_source_larger_than_allowed_is_not_kept(tmp_path, sources: Sources):
    sources.files["/m.onnx"] = MODEL
    store = ModelStore(f"file://{tmp_path}/store", max_bytes=len(MODEL) - 1)
    fact = settle(store, f"{sources.url}/m.onnx")
    assert fact.state == "Failed"
    assert str(len(MODEL) - 1) in fact.message
    assert visible(tmp_path) == []
    store.close()


def test_closing_ends_a_fetch_under_way_and_removes_its_half(tmp_path, sources: Sources):
    big = MODEL * 4
    sources.files["/m.onnx"] = big
    sources.slow["/m.onnx"] = threading.Event()
    store = ModelStore(f"file://{tmp_path}/store")
    store.stage(digest_of(big), f"{sources.url}/m.onnx")
    closing = threading.Thread(target=store.close)
    deadline = time.monotonic() + 10
    while not visible(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    closing.start()
    sources.slow["/m.onnx"].set()
    closing.join(20)
    assert not closing.is_alive()
    assert visible(tmp_path) == []


def test_half_of_a_killed_process_is_swept_with_the_next_fetch(store, sources: Sources, tmp_path):
    orphan = tmp_path / "store" / "incoming" / f"{DIGEST}.dead"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"half")
    sources.files["/m.onnx"] = MODEL
    assert settle(store, f"{sources.url}/m.onnx").state == "Staged"
    assert visible(tmp_path) == [DIGEST]


def test_a_store_that_cannot_be_written_says_which_setting_to_check(tmp_path, sources: Sources):
    (tmp_path / "store").write_text("a file, not a folder")
    store = ModelStore(f"file://{tmp_path}/store")
    sources.files["/m.onnx"] = MODEL
    fact = settle(store, f"{sources.url}/m.onnx")
    assert (fact.state, fact.reason) == ("Failed", "SourceUnavailable")
    assert "PARKADE_MODEL_STORE" in fact.message
    store.close()


def test_a_store_elsewhere_works_alike(sources: Sources):
    store = ModelStore("memory://models")
    sources.files["/m.onnx"] = MODEL
    assert settle(store, f"{sources.url}/m.onnx").state == "Staged"
    assert fsspec.filesystem("memory").cat_file(f"/models/sha256/{DIGEST}") == MODEL
    store.close()


def test_what_is_not_staged_cannot_be_read(store):
    with pytest.raises(SourceUnavailable, match="not staged"):
        store.open(DIGEST)
