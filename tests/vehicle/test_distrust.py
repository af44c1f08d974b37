"""A router that does not believe a car: the owner reads it long after the replica went to another car."""

import json

import pytest

from parkade.vehicle import localapi, statement
from parkade.vehicle.clock import Instant
from parkade.vehicle.distrust import KEPT, MOST, Distrust
from parkade.vehicle.link import Endpoint, Link
from parkade.vehicle.reasons import Reason, Refusal
from parkade.vehicle.wire import read_assignment
from vehicle.lives import IDENTITY, life, phases
from vehicle.peers import Hand, affine, assignment, desired, digest_of, until

pytestmark = pytest.mark.anyio

SAID = "an answer of this car for workload vision/reader was not what Triton computes; restart or update its agent"


def refusal(reason: str) -> bytes:
    body = json.dumps({"error": SAID, "reason": reason}).encode()
    return f"HTTP/1.1 403 Forbidden\r\nRetry-After: 300\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def status(agent) -> dict:
    return localapi.status(agent, Link(IDENTITY, Endpoint("nats://127.0.0.1:1", None, None), agent.receive))


@pytest.mark.parametrize("reason", ["AnswersRejected", "AnswersDisagree"])
async def test_the_owner_reads_what_was_said_and_since_when_after_the_replica_is_gone(tmp_path, pki, shelf, reason):
    hand = Hand()
    shelf.put(affine())

    async def lie(agent, router) -> None:
        router.script = [refusal(reason)]
        agent.receive(desired(assignment(shelf, affine(), router.address)))
        await until(lambda: phases(agent) == [("Failed", reason)])
        agent.receive(desired(revision="r2"))
        await until(lambda: not agent.replicas)

    async with life(tmp_path, pki, hand) as (agent, router):
        assert status(agent)["distrusted"] == []
        await lie(agent, router)
        (word,) = status(agent)["distrusted"]
        assert word == {
            "workload": "vision/reader", "digest": digest_of(affine()), "reason": reason,
            "message": f"the router answers 403: {SAID}",
            "since": "2026-05-04T12:00:00+00:00", "last": "2026-05-04T12:00:00+00:00",
        }  # fmt: skip
        hand.pass_(3600)
    async with life(tmp_path, pki, hand) as (agent, router):
        assert status(agent)["distrusted"] == [word], "a restart forgets nothing"
        await lie(agent, router)
        shown = statement.text(status(agent))
        digest = digest_of(affine())[:12]
        assert f"NOT BELIEVED  vision/reader {digest}, since Mon 04 May 12:00:00, last Mon 04 May 13:00:00" in shown
        assert f"  {reason}: the router answers 403: {SAID}" in shown
        assert "MODELS  none is assigned" in shown
        assert "have this car's computer checked" in shown
        hand.pass_(KEPT)
        assert status(agent)["distrusted"] == []
        assert "NOT BELIEVED" not in statement.text(status(agent))


async def test_a_note_that_is_damaged_is_left_out(tmp_path, pki):
    rows = [
        {},
        5,
        {"workload": 1},
        dict.fromkeys(("workload", "digest", "reason", "message", "since", "last"), "x"),
    ]
    (tmp_path / "distrust.json").write_text(json.dumps({"words": rows}))

    async with life(tmp_path, pki) as (agent, _):
        assert status(agent)["distrusted"] == []


def test_another_artifact_begins_anew_and_the_oldest_words_go():
    hand, distrust = Hand(), Distrust()
    said = Refusal(Reason.AnswersDisagree, SAID)

    def note(workload: str, content: bytes) -> None:
        distrust.note(
            read_assignment(assignment(None, content, "", workload=workload)), said, Instant(hand.wall, hand.ticks)
        )
        hand.pass_(60)

    note("vision/reader", b"one")
    note("vision/reader", b"one")
    note("vision/reader", b"two")
    (word,) = distrust.shown(hand.ticks)
    assert word["since"] == word["last"] == "2026-05-04T12:02:00+00:00"
    for number in range(MOST + 3):
        note(f"vision/w{number}", b"one")
    shown = distrust.shown(hand.ticks)
    assert [word["workload"] for word in shown] == [f"vision/w{number}" for number in range(3, MOST + 3)]
