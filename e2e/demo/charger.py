"""The charger at a car's own place: its session as a charging stations' management system forwards it."""

import asyncio
import json
import logging
import ssl
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import nats

from parkade.local.plane import Plane

EVSE: Final = 1

logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of nats-py's stream at every goodbye over TLS


class Charger:
    """A witness of one car: real OCPP 2.1 TransactionEvents over the fleet link, with a witness's own credentials."""

    def __init__(self, plane: Plane, fleet: str, car: str) -> None:
        self._plane = plane
        self._station = f"at-{car}"
        self._subject = f"parkade.witness.v1.{fleet}.charger.{self._station}.TransactionEvent"
        self._transaction = str(uuid.uuid4())
        self._events = 0
        self._credentials = _credentials(plane, fleet)
        place = f"{self._station}/{EVSE}"
        plane.carlet(
            "fleet", "name", "--dir", str(plane.fleet), "--nats", plane.nats_url,
            "--nats-ca", str(plane.authority.certificate), "--fleet", fleet, "--id", car, "--place", place,
        )  # fmt: skip

    def plugged_in(self) -> None:
        """The cable goes in and current flows: a session begins."""
        self._transaction, self._events = str(uuid.uuid4()), 0
        self._tell("Started", "CablePluggedIn", chargingState="EVConnected")
        self._tell("Updated", "ChargingStateChanged", chargingState="Charging")

    def meter_read(self) -> None:
        """The session goes on: one of the readings that a station sends at its interval."""
        self._tell("Updated", "MeterValuePeriodic", chargingState="Charging")

    def cable_drawn(self) -> None:
        """The session ends because the car is no longer at the cable."""
        self._tell("Ended", "EVCommunicationLost", chargingState="Idle", stoppedReason="EVDisconnected")

    def _tell(self, event: str, trigger: str, **session: str) -> None:
        request: dict[str, Any] = {
            "eventType": event,
            "timestamp": datetime.now(UTC).isoformat(),
            "triggerReason": trigger,
            "seqNo": self._events,
            "transactionInfo": {"transactionId": self._transaction, **session},
            "evse": {"id": EVSE, "connectorId": 1},
        }
        self._events += 1
        call = [2, str(uuid.uuid4()), "TransactionEvent", request]
        asyncio.run(self._publish(json.dumps(call).encode()))

    async def _publish(self, message: bytes) -> None:
        trusted = ssl.create_default_context(cafile=str(self._plane.authority.certificate))
        link = await nats.connect(self._plane.nats_url, user_credentials=str(self._credentials), tls=trusted)
        await link.publish(self._subject, message)
        await link.flush()
        await link.close()


def _credentials(plane: Plane, fleet: str) -> Path:
    """What lets a witness speak of one fleet's cars, and of nothing else; signed once."""
    file = plane.data / f"charger-{fleet}.creds"
    if not file.exists():
        words = ("--dir", str(plane.fleet), "--fleet", fleet, "--source", "charger", "-o", str(file))
        plane.carlet("fleet", "witness", *words)
    return file
