"""Record a charging session as the package `ocpp` (2.1.0) sends it, a frame a line.

    python tests/fleet/ocpp_session.py > tests/fleet/recorded/ocpp_session.jsonl

A charge point speaks OCPP 2.0.1, then 2.1, to a management system, over a pair of queues. Needs the package `ocpp`.
"""

import asyncio
import importlib
import sys
from datetime import UTC, datetime, timedelta

from ocpp.routing import on

NOON = datetime(2026, 8, 18, 12, tzinfo=UTC)
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
    """One end of a connection in memory."""

    def __init__(self, out: asyncio.Queue[str], into: asyncio.Queue[str], *, shown: bool) -> None:
        self.out, self.into, self.shown = out, into, shown

    async def send(self, text: str) -> None:
        if self.shown:
            sys.stdout.write(text + "\n")
        await self.out.put(text)

    async def recv(self) -> str:
        return await self.into.get()


async def session(version: str) -> None:
    library = importlib.import_module(f"ocpp.{version}")

    class ManagementSystem(library.ChargePoint):
        @on("TransactionEvent")
        def transaction(self, **_: object) -> object:
            return library.call_result.TransactionEvent()

    up, down = asyncio.Queue[str](), asyncio.Queue[str]()
    station = library.ChargePoint("home", Wire(up, down, shown=True))
    system = ManagementSystem("home", Wire(down, up, shown=False))
    ends = [asyncio.create_task(end.start()) for end in (station, system)]
    for number, (kind, trigger, info, more) in enumerate(STEPS):
        await station.call(
            library.call.TransactionEvent(
                event_type=kind,
                timestamp=(NOON + timedelta(minutes=number)).isoformat(),
                trigger_reason=trigger,
                seq_no=number,
                transaction_info={"transaction_id": f"t-{version}", **info},
                **more,
            )
        )
    for end in ends:
        end.cancel()


asyncio.run(session("v201"))
asyncio.run(session("v21"))
