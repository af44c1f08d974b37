"""Archives of images: the same files give the same bytes, and containerd's and Docker's layout is what they hold."""

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from localnode.oci import Files, Image, write


@pytest.fixture
def files(tmp_path: Path) -> Files:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o700)
    return {
        "usr/bin/program": program,
        "etc/passwd": b"root:x:0:0::/:/none\n",
        "usr/bin/script": b"#!/usr/bin/program\n",
    }


def image(*layers: Files) -> Image:
    return Image("parkade.test/program:1", layers, ["/usr/bin/program"], {"PATH": "/usr/bin"})


def read(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def test_equal_files_give_equal_bytes_whatever_their_times_owners_and_order(tmp_path: Path, files: Files) -> None:
    first = write(image(files), tmp_path / "first.tar")
    os.utime(files["usr/bin/program"], (0, 0))
    files["usr/bin/program"].chmod(0o755)
    assert write(image(dict(reversed(files.items()))), tmp_path / "second.tar") == first
    assert (tmp_path / "first.tar").read_bytes() == (tmp_path / "second.tar").read_bytes()


def test_another_file_gives_another_digest(tmp_path: Path, files: Files) -> None:
    assert write(image(files), tmp_path / "a.tar") != write(image({**files, "etc/group": b""}), tmp_path / "b.tar")


def test_every_blob_is_what_its_name_says(tmp_path: Path, files: Files) -> None:
    digest = write(image(files, {"usr/share/model": b"0"}), tmp_path / "image.tar")
    members = read(tmp_path / "image.tar")
    blobs = {name.rpartition("/")[2]: content for name, content in members.items() if name.startswith("blobs/")}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in blobs.items()} == {
        name: name for name in blobs
    }
    (entry,) = json.loads(members["index.json"])["manifests"]
    assert entry["digest"] == digest
    assert entry["annotations"]["io.containerd.image.name"] == "parkade.test/program:1"
    manifest = json.loads(blobs[digest.removeprefix("sha256:")])
    config = json.loads(blobs[manifest["config"]["digest"].removeprefix("sha256:")])
    assert config["config"]["User"] == "65532:65532"
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]


def test_a_layer_says_nothing_of_the_machine_that_wrote_it(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    write(image(files), tmp_path / "image.tar")
    members = read(tmp_path / "image.tar")
    manifest = json.loads(members["index.json"])["manifests"][0]["digest"]
    layers = json.loads(members[f"blobs/{manifest.replace(':', '/')}"])["layers"]
    (tmp_path / "layer.tar").write_bytes(members[f"blobs/{layers[0]['digest'].replace(':', '/')}"])
    with tarfile.open(tmp_path / "layer.tar") as layer:
        shown = {member.name: (member.mtime, member.uid, member.uname, member.mode) for member in layer}
    assert shown == {
        "etc": (1700000000, 0, "", 0o755),
        "etc/passwd": (1700000000, 0, "", 0o644),
        "usr": (1700000000, 0, "", 0o755),
        "usr/bin": (1700000000, 0, "", 0o755),
        "usr/bin/program": (1700000000, 0, "", 0o755),
        "usr/bin/script": (1700000000, 0, "", 0o755),
    }
