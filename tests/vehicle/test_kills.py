"""The agent killed again and again while it downloads: it goes on where it was, and loads the whole or nothing."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import onnx
import pytest

from vehicle.peers import assignment, desired, digest_of, free_port, onnx_model
from vehicle.test_command import MAIN

SEED = 11
LINK = 400_000.0
"""Bytes a second: a piece takes long enough to be hit in its middle."""
LAST = 2
"""Kills after the last byte has come: of the verification, the renaming, the load. A third during loads would tell the
agent that the artifact takes it down."""
PATIENCE = 90.0
"""Seconds that one life may take on a busy machine."""


def a_model(size: int) -> bytes:
    """One that loads, and of which every part is different."""
    content = np.random.default_rng(SEED).standard_normal(size // 4).astype(np.float32)
    tensor = (onnx.TensorProto.FLOAT, ["n", 3])
    weights = [onnx.numpy_helper.from_array(content, "weights")]
    return onnx_model([onnx.helper.make_node("Neg", ["x"], ["y"])], {"x": tensor}, {"y": tensor}, weights)


class Car:
    """The state directory of an agent, and its lives."""

    def __init__(self, folder, pki, shelf, content: bytes) -> None:
        self.shelf, self.content, self.digest = shelf, content, shelf.put(content)
        self.state, self.log, self.files = folder / "state", folder / "log", pki.vehicle
        self.state.mkdir()
        (self.state / "desired.json").write_bytes(desired(assignment(shelf, content, "")))
        self.whole, self.half = (self.state / "models" / f"{self.digest}{end}" for end in ("", ".part"))

    def held(self) -> int:
        """Bytes on disk."""
        for path in (self.whole, self.half):
            try:
                return path.stat().st_size
            except FileNotFoundError:
                continue
        return 0

    def live(self, holds: Callable[[], bool], more: float = 0.0) -> str:
        """A life that is killed so many seconds after the condition holds; its log."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", MAIN, "vehicle", "run", "--id", "v-1", "--fleet", "owners-ca", "--hardware",
                 "hw4", "--nats", f"nats://127.0.0.1:{free_port()}", "--ca", str(self.files.ca),
                 "--cert", str(self.files.cert), "--key", str(self.files.key), "--state-dir", str(self.state)],
                stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        try:
            while not holds():
                assert process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.002)
            time.sleep(more)
        finally:
            process.kill()
            process.wait()
        return self.log.read_text()

    def killed_at(self, place: int, more: float) -> None:
        """One life: it ends when so many bytes are there, and one at least is new."""
        before, asked = self.held(), len(self.shelf.ranges)
        said = self.live(lambda: self.whole.exists() or self.held() >= max(place, before + 1), more)
        if self.whole.exists():
            assert hashlib.sha256(self.whole.read_bytes()).hexdigest() == self.digest
        else:
            assert self.half.read_bytes() == self.content[: self.held()]
            assert " Loading" not in said, "nothing is loaded of which a part is missing"
        begins = [int(each.removeprefix("bytes=").partition("-")[0]) for each in self.shelf.ranges[asked:]]
        assert before in begins or before == len(self.content), "it goes on at the byte where it was"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kills", "size"), [(5, 400_000), pytest.param(50, 3_000_000, marks=pytest.mark.slow)], ids=["smoke", "many"]
)
def test_an_agent_that_is_killed_at_any_byte_goes_on_there_and_loads_the_whole(tmp_path, pki, shelf, kills, size):
    dice = np.random.default_rng(SEED)
    shelf.rate = LINK
    car = Car(tmp_path, pki, shelf, a_model(size))
    places = sorted(int(place) for place in dice.uniform(1, size, kills - LAST))
    for place in places:
        car.killed_at(place, 0.0)
    for _ in range(LAST):
        car.killed_at(len(car.content), dice.uniform(0.0, 0.3))
    assert "vision/reader Ready" in car.live(lambda: "vision/reader Ready" in car.log.read_text())
    assert digest_of(car.whole.read_bytes()) == car.digest
    assert not car.half.exists()
    begins = [int(asked.removeprefix("bytes=").partition("-")[0]) for asked in shelf.ranges]
    assert all(one <= other for one, other in pairwise(begins)), "no byte that was written is fetched again"
    assert len(set(begins)) >= kills - LAST
