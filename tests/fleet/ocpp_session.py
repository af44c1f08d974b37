"""A charging session as the package `ocpp` sends it: a charge point and a management system over a pair of queues.

    python tests/fleet/ocpp_session.py > tests/fleet/recorded/ocpp_session.jsonl

records one of OCPP 2.0.1, then one of 2.1, a frame a line, for the tests in Go.
"""

import asyncio
import importlib
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from ocpp.routing import on

NOON = datetime(2026, 8, 18, 12, tzinfo=UTC)
VERSIONS = ("v201", "v21")
STEPS = [
    ("Started", "CablePluggedIn", {"charging_state": "EVConnected"}, {"evse": {"id": 1, "connector_id": 1}}),
    (
        "Updated",
        "Authorized",
        {"charging_state": "EVConnected"},
        {"id_token": {"id_token": "CARD-1", "type": "ISO14443"}},
    ),
    ("Updated", "ChargingStateChanged", {"charging_state": "Charging"}, {}),
    (
        "Updated",
        "MeterValuePeriodic",
        {},
        {"meter_value": [{"timestamp": NOON.isoformat(), "sampled_value": [{"value": 7200.0}]}]},
    ),
    ("Updated", "ChargingStateChanged", {"charging_state": "SuspendedEV"}, {}),
    ("Ended", "EVCommunicationLost", {"charging_state": "Idle", "stopped_reason": "EVDisconnected"}, {}),
]


class Wire:
    """One end of a connection in memory, which remembers what was sent into it."""

    def __init__(self, out: asyncio.Queue[str], into: asyncio.Queue[str]) -> None:
        self.out, self.into = out, into
        self.sent: list[str] = []

    async def send(self, text: str) -> None:
        self.sent.append(text)
        await self.out.put(text)

    async def recv(self) -> str:
        return await self.into.get()


async def session(version: str, steps: Sequence[int], started: datetime) -> list[str]:
    """The frames of some of STEPS, a minute apart, each of which the management system has answered."""
    library = importlib.import_module(f"ocpp.{version}")

    class ManagementSystem(library.ChargePoint):
        @on("TransactionEvent")
        def transaction(self, **_: object) -> object:
            return library.call_result.TransactionEvent()

    up, down = asyncio.Queue[str](), asyncio.Queue[str]()
    wire = Wire(up, down)
    station, system = library.ChargePoint("home", wire), ManagementSystem("home", Wire(down, up))
    ends = [asyncio.create_task(end.start()) for end in (station, system)]
    for number in steps:
        kind, trigger, info, more = STEPS[number]
        await station.call(
            library.call.TransactionEvent(
                event_type=kind,
                timestamp=(started + timedelta(minutes=number)).isoformat(),
                trigger_reason=trigger,
                seq_no=number,
                transaction_info={"transaction_id": f"t-{version}", **info},
                **more,
            )
        )
    for end in ends:
        end.cancel()
    await asyncio.gather(*ends, return_exceptions=True)
    return wire.sent


if __name__ == "__main__":
    for version in VERSIONS:
        frames = asyncio.run(session(version, range(len(STEPS)), NOON))
        sys.stdout.write("".join(f"{frame}\n" for frame in frames))
