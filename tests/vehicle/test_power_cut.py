"""A power cut at any moment of a download: nothing wrong is loaded, nothing is stuck, little is lost."""

import asyncio
import json
import random
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parkade.errors import DigestMismatch, SourceUnavailable
from parkade.vehicle import durable, part
from parkade.vehicle.pace import Pace
from parkade.vehicle.store import Store
from parkade.vehicle.transfer import Roads

CONTENT = np.random.default_rng(5).bytes(400_000)
SIZE = len(CONTENT)


class PowerCut(BaseException):
    """The machine stops here."""


class Disk:
    """Watches a directory's writes, stops the machine after so many of them, and keeps what a disk may keep.

    Bytes that were not synced are lost, are zeros, or are there; a name that was not synced is the old or the new one.
    """

    def __init__(self, directory: Path, moments: int, seed: int) -> None:
        self.directory = directory
        self.left = moments
        self.random = random.Random(seed)  # noqa: S311 -- a test's dice
        self.synced: dict[Path, bytes] = {}
        self.unsynced_name: tuple[Path, Path, bytes | None] | None = None

    def moment(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise PowerCut

    @contextmanager
    def watching(self, monkeypatch):
        sync, replace, write = durable.sync, Path.replace, part.Part.write

        def synced(path: Path) -> None:
            self.moment()
            sync(path)
            if path == self.directory:
                self.unsynced_name = None
            elif path.is_dir():
                return  # of the worth of files, which is no part of this
            else:
                self.synced[path] = path.read_bytes()

        def renamed(old: Path, new: Path) -> Path:
            if old.parent != self.directory:
                return replace(old, new)
            self.moment()
            self.unsynced_name = (old, new, new.read_bytes() if new.exists() else None)
            # files that `durable.write` made were synced by their descriptor
            self.synced[new] = self.synced.pop(old, old.read_bytes() if old.name.startswith(".") else b"")
            done = replace(old, new)
            self.moment()
            return done

        def written(self_: part.Part, chunk: bytes) -> None:
            self.moment()
            cut = self.random.randrange(len(chunk) + 1)
            write(self_, chunk[:cut])
            self.moment()
            write(self_, chunk[cut:])

        with monkeypatch.context() as patch:
            patch.setattr(durable, "sync", synced)
            patch.setattr(Path, "replace", renamed)
            patch.setattr(part.Part, "write", written)
            patch.setattr(part, "MARK_EVERY", 100_000)
            yield

    def lose(self) -> None:
        """What is there after the cut."""
        if self.unsynced_name and self.random.random() < 0.5:
            old, new, before = self.unsynced_name
            new.replace(old)
            self.synced[old] = self.synced.pop(new, b"")
            if before is not None:
                new.write_bytes(before)
                self.synced[new] = before
        for path in sorted(self.directory.iterdir()):
            kept, now = self.synced.get(path), path.read_bytes()
            if kept is None and self.random.random() < 0.3:
                path.unlink()
                continue
            kept = kept or b""
            tail = now[len(kept) :]
            lost = self.random.choice([b"", bytes(len(tail)), tail, tail[: len(tail) // 2], bytes(len(tail) // 2)])
            path.write_bytes(now[: len(kept)] + lost)


def a_store(directory, pki, boot: str) -> Store:
    return Store(directory, 10**6, Roads(pki.vehicle.context, pki.vehicle.strangers, Pace(), lambda _: None), boot)


@pytest.mark.timeout(180)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moments=st.lists(st.integers(0, 120), min_size=1, max_size=4), seed=st.integers(0, 2**32))
def test_a_power_cut_at_any_write_sync_or_rename_is_survived(tmp_path_factory, pki, shelf, monkeypatch, moments, seed):
    digest = shelf.put(CONTENT)
    directory = tmp_path_factory.mktemp("models")
    for life, count in enumerate(moments):
        disk = Disk(directory, count, seed + life)
        store = a_store(directory, pki, f"boot {life}")
        try:
            with disk.watching(monkeypatch):
                asyncio.run(store.fetch(digest, SIZE, shelf.url(digest), frozenset()))
        except PowerCut:
            disk.lose()
        for held in store.held():
            path = asyncio.run(store.verified(held))
            assert path is None or path.read_bytes() == CONTENT, "what is loaded is what was ordered"
    store = a_store(directory, pki, "last boot")
    assert asyncio.run(store.fetch(digest, SIZE, shelf.url(digest), frozenset())).read_bytes() == CONTENT
    assert store.held() == (digest,)


def test_after_a_power_cut_the_download_goes_on_at_the_last_mark(tmp_path, pki, shelf, monkeypatch):
    monkeypatch.setattr(part, "MARK_EVERY", 100_000)
    digest = shelf.put(CONTENT)
    shelf.cut.append(350_000)
    with pytest.raises(SourceUnavailable):
        asyncio.run(a_store(tmp_path, pki, "one").fetch(digest, SIZE, shelf.url(digest), frozenset()))
    half = tmp_path / f"{digest}.part"
    held, marked = half.stat().st_size, json.loads((tmp_path / f"{digest}.mark").read_bytes())["bytes"]
    assert 100_000 <= marked < held
    half.write_bytes(half.read_bytes()[:marked] + bytes(held - marked))
    shelf.ranges.clear()
    again = asyncio.run(a_store(tmp_path, pki, "two").fetch(digest, SIZE, shelf.url(digest), frozenset()))
    assert again.read_bytes() == CONTENT
    assert shelf.ranges[0].startswith(f"bytes={marked}-")


def test_bytes_that_rotted_in_the_part_are_fetched_again_at_once(tmp_path, pki, shelf):
    """It is not the source's fault, so nobody waits for it to be mended."""
    digest = shelf.put(CONTENT)
    shelf.cut.append(200_000)
    with pytest.raises(SourceUnavailable):
        asyncio.run(a_store(tmp_path, pki, "one").fetch(digest, SIZE, shelf.url(digest), frozenset()))
    half = tmp_path / f"{digest}.part"
    half.write_bytes(b"!" + half.read_bytes()[1:])
    again = asyncio.run(a_store(tmp_path, pki, "one").fetch(digest, SIZE, shelf.url(digest), frozenset()))
    assert again.read_bytes() == CONTENT
    shelf.contents[digest] = CONTENT[:-1] + b"!"
    again.unlink()
    with pytest.raises(DigestMismatch):
        asyncio.run(a_store(tmp_path, pki, "one").fetch(digest, SIZE, shelf.url(digest), frozenset()))


@pytest.mark.parametrize("mark", [b"", b"[]", b"5", b'{"boot": "one", "bytes": -5}', b'{"boot": "one", "bytes": "9"}',
                                  b'{"boot": "two", "bytes": 1e99}', b"\xff" * 50])  # fmt: skip
def test_a_damaged_mark_trusts_nothing(tmp_path, pki, shelf, mark):
    digest = shelf.put(CONTENT)
    tmp_path.joinpath(f"{digest}.part").write_bytes(bytes(SIZE))
    tmp_path.joinpath(f"{digest}.mark").write_bytes(mark)
    again = asyncio.run(a_store(tmp_path, pki, "two").fetch(digest, SIZE, shelf.url(digest), frozenset()))
    assert again.read_bytes() == CONTENT
