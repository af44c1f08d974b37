"""An agent and a router that live for one test, and what tests ask of them."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace

from parkade.vehicle.agent import Agent, Outfit
from parkade.vehicle.contract import Contract
from parkade.vehicle.runtime import OnnxRuntime
from parkade.vehicle.signals import Signals
from parkade.vehicle.wire import Identity
from vehicle.peers import ASK, Hand, Router, affine, assignment, desired

IDENTITY = Identity("v-1", "owners-ca", "hw4", 64 * 2**20, 1, 60.0)


@asynccontextmanager
async def life(directory, pki, hand: Hand | None = None, **changes):
    """An agent and a router; the agent's tasks end with the block."""
    outfit = Outfit(IDENTITY, directory, pki.vehicle, OnnxRuntime(), Contract(), Signals(), 2**30)
    agent = Agent(replace(outfit, **changes), hand.sources() if hand else None)
    router = Router()
    await router.start(pki.mutual_context())
    running = asyncio.create_task(agent.run())
    try:
        yield agent, router
    finally:
        running.cancel()
        await asyncio.wait([running])
        await agent.close()
        await router.stop()


async def first_offer(agent, router, shelf):
    """The connection that offers the model, once the agent was told to hold it."""
    shelf.put(affine())
    agent.receive(desired(assignment(shelf, affine(), router.address)))
    return await router.next()


def phases(agent) -> list[tuple[str, str]]:
    return [(row["phase"], row["reason"]) for row in agent.assignments()]


async def answer(offered, model: str = "reader") -> list[float]:
    status, _, body = await offered.ask("POST", f"/v2/models/{model}/infer", ASK)
    assert status == 200, body
    return json.loads(body)["outputs"][0]["data"]
