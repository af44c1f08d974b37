"""docs/start.md as a reader follows it, on the running demo: a model of one's own, a break, the remedy, the end."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pages.reading import blocks
from parkade.local import binaries
from vehicle.peers import affine, digest_of
from world import World

PAGE = "docs/start.md"
KEY = "vision/my-model"


class Reader:
    """Types what the page prints, in a folder of its own."""

    def __init__(self, world: World, folder: Path) -> None:
        kubectl = binaries.upstream("kubectl", print)
        self.folder = folder
        self.environment = os.environ | {
            "KUBECONFIG": str(world.plane.kubeconfig),
            "PATH": f"{kubectl.parent}:{os.environ['PATH']}",
        }

    def types(self, begins: str) -> str:
        """Run the block of shell that begins so; returns what it printed."""
        (script,) = (block.text for block in blocks("sh") if block.page == PAGE and block.text.startswith(begins))
        done = subprocess.run(
            ["bash", "-eu", "-c", script],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def reader(world: World, tmp_path: Path) -> Reader:
    (manifest,) = (block.text for block in blocks("yaml") if block.page == PAGE)
    model = tmp_path / "my-model.onnx"
    model.write_bytes(affine())
    manifest, replaced = re.subn(r'"file:///[^"]*"', f'"{model.as_uri()}"', manifest)
    (tmp_path / "as-printed.yaml").write_text(manifest)
    manifest, again = re.subn(r'sha256: "[0-9a-f]{64}"', f'sha256: "{digest_of(affine())}"', manifest)
    assert (replaced, again) == (1, 1)
    (tmp_path / "my-model.yaml").write_text(manifest)
    return Reader(world, tmp_path)


def test_a_reader_deploys_asks_breaks_finds_out_and_deletes(reader: Reader, world: World) -> None:
    try:
        world.plane.kubectl("apply", "-f", str(reader.folder / "as-printed.yaml"))
        world.await_that(
            "the digest of the page is refused",
            lambda: world.conditions(KEY).get("Placed", {}).get("reason") == "DigestMismatch",
            60,
        )
        assert digest_of(affine()) in world.conditions(KEY)["Placed"]["message"]
        address = reader.types("kubectl apply -f my-model.yaml").splitlines()[-1]
        (client,) = (block.text for block in blocks("python") if block.page == PAGE)
        done = subprocess.run(
            [sys.executable, "-c", client.replace("HOST:PORT", address)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.stdout, done.returncode) == ("[[2. 2. 2.]]\n", 0), done.stderr
        reader.types("kubectl patch iw -n vision my-model")
        world.await_that(
            "the page's symptom is there", lambda: world.conditions(KEY)["SLOMet"]["reason"] == "LateButServed", 60
        )
        assert world.conditions(KEY)["Ready"]["status"] == "True"
        assert "1ms" in world.conditions(KEY)["SLOMet"]["message"]
        assert "my-model" in reader.types("kubectl get iw,vnp,vc,tp,rg -A")
    finally:
        world.plane.kubectl("delete", "iw", "-n", "vision", "my-model", "--ignore-not-found", "--timeout=60s")
    assert "my-model" not in world.plane.kubectl("get", "iw", "-A", "-o", "name")
