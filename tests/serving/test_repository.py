"""Model repositories: complete before a server looks, shared by servers, empty again afterwards."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parkade.errors import ModelRejected, SourceUnavailable
from parkade.serving import ModelRepository, ModelStore
from parkade.serving.proving import fill
from parkade.serving.repository import LARGEST_PUSH
from parkade.snapshot.versions import version_of
from serving.conftest import Shelf

MODEL = b"any bytes"


@pytest.fixture
def here(store: ModelStore, tmp_path: Path) -> Shelf:
    return Shelf(store, tmp_path, ModelRepository(f"file://{tmp_path}/repository", "python", store))


def files(shelf: Shelf) -> list[str]:
    root = shelf.folder / "repository"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_version_holds_the_model_and_what_runs_it(here: Shelf):
    digest = here.put(MODEL)
    assert here.repository.provide("reader", digest) == {}
    version = version_of(digest)
    assert files(here) == [f"reader/{version}/model.onnx", f"reader/{version}/model.py"]
    assert (here.folder / "repository" / "reader" / str(version) / "model.onnx").read_bytes() == MODEL


def test_a_server_with_the_onnxruntime_backend_needs_the_model_alone(here: Shelf):
    digest = here.put(MODEL)
    repository = ModelRepository(f"file://{here.folder}/repository", "onnxruntime", here.store)
    repository.provide("reader", digest)
    assert files(here) == [f"reader/{version_of(digest)}/model.onnx"]
    config = json.loads(repository.config(digest, 3))
    assert config["backend"] == "onnxruntime"
    assert config["instance_group"] == [{"count": 3}]
    assert config["version_policy"] == {"specific": {"versions": [version_of(digest)]}}


def test_providing_again_touches_nothing_so_that_a_server_need_not_reload(here: Shelf):
    digest = here.put(MODEL)
    here.repository.provide("reader", digest)
    folder = here.folder / "repository" / "reader" / str(version_of(digest))
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    here.repository.provide("reader", digest)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_half_written_version_is_completed(here: Shelf):
    digest = here.put(MODEL)
    folder = here.folder / "repository" / "reader" / str(version_of(digest))
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(MODEL[:3])
    here.repository.provide("reader", digest)
    assert (folder / "model.onnx").read_bytes() == MODEL
    assert (folder / "model.py").exists()


def test_removing_the_last_version_removes_the_model(here: Shelf):
    one, two = here.put(b"one"), here.put(b"two")
    here.repository.provide("reader", one)
    here.repository.provide("reader", two)
    assert here.repository.versions() == {"reader": tuple(sorted((version_of(one), version_of(two))))}
    here.repository.remove("reader", one)
    assert here.repository.versions() == {"reader": (version_of(two),)}
    here.repository.remove("reader", two)
    here.repository.remove("reader", two)
    assert here.repository.versions() == {}
    assert files(here) == []


def test_a_repository_elsewhere_works_alike(here: Shelf):
    repository = ModelRepository("memory://triton/models", "python", here.store)
    digest = here.put(MODEL)
    repository.provide("reader", digest)
    assert repository.versions() == {"reader": (version_of(digest),)}
    repository.remove("reader", digest)
    assert repository.versions() == {}


def test_a_repository_that_cannot_be_written_names_the_field(here: Shelf):
    (here.folder / "repository").write_text("a file, not a folder")
    with pytest.raises(SourceUnavailable, match=r"models\.repository"):
        here.repository.provide("reader", here.put(MODEL))


def test_a_model_too_large_for_the_load_call_says_what_to_do(here: Shelf):
    pushing = ModelRepository("", "python", here.store)
    digest = here.put(bytes(LARGEST_PUSH + 1))
    with pytest.raises(ModelRejected, match="give the pool a repository"):
        pushing.provide("reader", digest)


@given(st.text("0123456789abcdef", min_size=64, max_size=64))
def test_a_version_is_a_positive_int31_of_the_digest_alone(digest: str):
    assert 1 <= version_of(digest) <= 2**31 - 1
    assert version_of(digest) == version_of(digest[:8] + "0" * 56)


@pytest.mark.parametrize("digest", ["", "0" * 63, "g" * 64, "A" * 64, "0x" + "1" * 62])
def test_what_is_no_digest_has_no_version(digest: str):
    with pytest.raises(ValueError, match="64 lower-case hexadecimal digits"):
        version_of(digest)


@given(st.lists(st.integers(-1, 5).filter(bool), max_size=5), st.integers(1, 64))
def test_a_probe_keeps_fixed_axes_and_frees_none(shape: list[int], size: int):
    filled = fill(shape, size)
    assert all(now == axis if axis > 0 else now in (1, size) for axis, now in zip(shape, filled, strict=True))


def test_a_probe_takes_trailing_axes_as_sizes():
    assert fill([-1, 3, -1, -1], 32) == [1, 3, 32, 32]
    assert fill([2, -1, 128], 32) == [2, 1, 128]
    assert fill([-1, -1], 32) == [1, 32]
    assert fill([-1], 32) == [32]
