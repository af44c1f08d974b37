"""A new version of a workload: the last good one serves until it is ready, and for good where it never is."""

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass

import onnx
import pytest

from parkade.errors import ModelRejected
from parkade.vehicle import versions
from parkade.vehicle.runtime import OnnxRuntime
from parkade.vehicle.wire import Assignment
from vehicle.peers import affine, assignment, desired, digest_of, onnx_model, until
from vehicle.test_agent import answer, first_offer, life, phases

pytestmark = pytest.mark.anyio

BIG = 40 * 2**20
"""Of the car's 64 MiB: two such models do not fit."""


def messages(agent) -> list[str]:
    return [row["message"] for row in agent.assignments()]


async def test_where_both_do_not_fit_the_last_good_serves_until_the_new_one_is_on_disk(tmp_path, pki, shelf):
    async with life(tmp_path, pki) as (agent, router):
        shelf.put(affine())
        agent.receive(desired(assignment(shelf, affine(), router.address, memory=BIG)))
        old = await router.next()
        new = assignment(shelf, affine(3.0), router.address, memory=BIG)
        agent.receive(desired(new | {"url": ""}, revision="r2"))
        await until(lambda: phases(agent) == [("Fetching", "WaitingForUrl"), ("Ready", "")])
        assert await answer(old) == [2.0, 4.0, 6.0]
        assert "the last good version goes on serving" in messages(agent)[0]
        shelf.put(affine(3.0))
        agent.receive(desired(new, revision="r2"))
        assert await old.ended()
        assert await answer(await router.next()) == [3.0, 6.0, 9.0]
        await until(lambda: phases(agent) == [("Ready", "")])


SPOILT = [
    ("no model", {}, ("Failed", "ModelRejected")),
    ("other bytes", {}, ("Failed", "DigestMismatch")),
    ("another format", {"format": "tensorrt"}, ("Refused", "FormatNotSupported")),
    ("too large", {"memory": 2**30}, ("Refused", "NotEnoughMemory")),
]


@pytest.mark.parametrize("memory", [2**20, BIG], ids=["both fit", "one fits"])
@pytest.mark.parametrize("spoilt", SPOILT, ids=[row[0] for row in SPOILT])
async def test_where_the_new_one_fails_the_last_good_goes_on_also_after_a_restart(tmp_path, pki, shelf, spoilt, memory):
    how, changes, expected = spoilt
    content = b"this is no model" if how == "no model" else affine(3.0)

    async with life(tmp_path, pki) as (agent, router):
        shelf.put(affine())
        agent.receive(desired(assignment(shelf, affine(), router.address, memory=memory)))
        await answer(await router.next())
        shelf.contents[digest_of(content)] = affine(9.0) if how == "other bytes" else content
        bad = assignment(shelf, content, router.address, memory=memory) | changes
        agent.receive(desired(bad, revision="r2"))
        await until(lambda: phases(agent) == [expected, ("Ready", "")])
        assert "the last good version goes on serving" in messages(agent)[0]
    shelf.contents.clear()
    async with life(tmp_path, pki) as (agent, router):
        assert agent.desired.revision == "r2"
        bad["router"] = router.address
        agent.receive(desired(bad, revision="r3"))
        assert await answer(await router.next()) == [2.0, 4.0, 6.0]
        await until(lambda: "the last good version goes on serving" in messages(agent)[0])
        agent.receive(desired(revision="r4"))
        await until(lambda: not agent.replicas)
        assert agent.state(0)["assignments"] == [], "a workload that is no longer ordered has no last good"


async def test_a_last_good_that_rotted_is_no_stand_in(tmp_path, pki, shelf):
    async with life(tmp_path, pki) as (agent, router):
        await answer(await first_offer(agent, router, shelf))
    (tmp_path / "models" / digest_of(affine())).write_bytes(b"rot")
    async with life(tmp_path, pki) as (agent, router):
        agent.receive(desired(assignment(shelf, affine(3.0), router.address, url=""), revision="r2"))
        await until(lambda: agent.hello()["models"] == [])
        agent.apply()
        await until(lambda: phases(agent) == [("Fetching", "WaitingForUrl")])


async def test_the_owners_word_ends_the_last_good_too(tmp_path, pki, shelf):
    async with life(tmp_path, pki) as (agent, router):
        old = await first_offer(agent, router, shelf)
        agent.receive(desired(assignment(shelf, affine(3.0), router.address, url=""), revision="r2"))
        await until(lambda: len(agent.replicas) == 2)
        agent.pause(True)
        assert await old.ended()
        await until(lambda: not agent.replicas)


@pytest.mark.parametrize("damage", [b"", b"[1]", b'{"vision/reader": 5}', b'{"vision/reader": {"workload": "a/b"}}'])
async def test_a_damaged_note_of_the_last_good_is_none(tmp_path, pki, damage):
    tmp_path.joinpath("good.json").write_bytes(damage)
    tmp_path.joinpath("loads.json").write_bytes(damage)

    async with life(tmp_path, pki) as (agent, _):
        assert agent.state(0)["assignments"] == []


CRASHING = """
import asyncio, json, os, sys
from parkade.vehicle.agent import Agent, Outfit
from parkade.vehicle.contract import Contract
from parkade.vehicle.runtime import OnnxRuntime
from parkade.vehicle.signals import Signals
from parkade.vehicle.tls import Certificates
from parkade.vehicle.wire import Identity
from pathlib import Path

class Runtime(OnnxRuntime):
    def load(self, path, name, memory):
        if path.name.startswith(sys.argv[3]):
            os.abort()
        return super().load(path, name, memory)

async def main():
    identity = Identity("v-1", "owners-ca", "hw4", 64 * 2**20, 1, 60.0)
    state = Path(sys.argv[1])
    agent = Agent(Outfit(identity, state, Certificates(Path(sys.argv[2])), Runtime(), Contract(), Signals(), 2**30))
    running = asyncio.create_task(agent.run())
    while len(rows := agent.assignments()) < 2 or any(row["phase"] not in ("Ready", "Failed") for row in rows):
        await asyncio.sleep(0.01)
    print(json.dumps([[row["digest"], row["phase"], row["reason"], row["message"]] for row in rows]))
    running.cancel()
    await agent.close()

asyncio.run(main())
"""


def test_a_version_that_takes_the_process_with_it_is_given_up_for_the_last_good(tmp_path, pki, shelf):
    old, new = affine(), affine(3.0)
    shelf.put(new)

    async def once():
        async with life(tmp_path, pki) as (agent, router):
            await answer(await first_offer(agent, router, shelf))
            agent.receive(desired(assignment(shelf, new, router.address, url=""), revision="r2"))

    asyncio.run(once())
    (tmp_path / "desired.json").write_bytes(desired(assignment(shelf, new, ""), revision="r2"))
    arguments = [str(tmp_path), str(pki.vehicle.ca), digest_of(new)[:12]]
    for _ in range(versions.CRASHES):
        crashed = subprocess.run([sys.executable, "-c", CRASHING, *arguments], capture_output=True, check=False)
        assert crashed.returncode < 0, crashed.stderr.decode()
    done = subprocess.run([sys.executable, "-c", CRASHING, *arguments], capture_output=True, check=True)
    ordered, stands_in = json.loads(done.stdout)
    assert ordered[:3] == [digest_of(new), "Failed", "LoadCrashed"]
    assert "last good" in ordered[3]
    assert stands_in[:3] == [digest_of(old), "Ready", stands_in[2]]


def an(workload: str, digest: str, size: int) -> Assignment:
    return Assignment(workload, "m", digest * 64, size, "onnx", size, "", "router:1")


@dataclass
class Standing:
    accepting: bool = False
    waits: bool = True


def test_stand_ins_never_take_more_than_the_car_has():
    good = {"a/x": an("a/x", "1", 40), "a/y": an("a/y", "2", 40)}
    ordered = [an("a/x", "3", 40), an("a/y", "4", 40), an("a/z", "5", 10)]
    taken = {wanted.key: wanted for wanted in ordered}

    def chosen(memory, **running):
        replicas = {taken_key: running[taken_key[0][-1]] for taken_key in taken if taken_key[0][-1] in running}
        return [workload for workload, _ in versions.stand_ins(ordered, taken, replicas, good, memory)]

    assert chosen(90) == ["a/x", "a/y"]
    assert chosen(89) == ["a/x"]
    assert chosen(90, x=Standing(waits=False)) == ["a/x"]
    assert chosen(89, x=Standing(waits=False)) == []
    assert chosen(130, x=Standing(waits=False), y=Standing(accepting=True, waits=False)) == ["a/x"]
    assert chosen(90, x=Standing(accepting=True, waits=False)) == ["a/y"]


@pytest.mark.parametrize("where", ["neighbour", "../day.json", "/etc/hostname"])
def test_a_graph_with_weights_in_other_files_is_rejected(tmp_path, where):
    """Its answers could carry another workload's weights, or the car's own notes, to whoever asks."""
    weights = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [1], [2.0])
    shape = {"x": (onnx.TensorProto.FLOAT, ["n", 3])}
    node = onnx.helper.make_node("Mul", ["x", "w"], ["y"])
    model = onnx.load_from_string(onnx_model([node], shape, {"y": (onnx.TensorProto.FLOAT, ["n", 3])}, [weights]))
    tensor = model.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for name, value in (("location", where), ("length", "4")):
        entry = tensor.external_data.add()
        entry.key, entry.value = name, value
    models = tmp_path / "models"
    models.mkdir()
    (models / "neighbour").write_bytes(b"1234")
    (tmp_path / "day.json").write_bytes(b"1234")
    (models / "model").write_bytes(model.SerializeToString())
    with pytest.raises(ModelRejected, match="does not load"):
        OnnxRuntime().load(models / "model", "model", 2**20)
    assert sorted(path.name for path in models.iterdir()) == ["model", "neighbour"]
