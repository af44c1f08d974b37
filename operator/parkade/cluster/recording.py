"""Events: what changed about an object, said once."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from parkade.changes import Announce
from parkade.cluster.client import FIELD_MANAGER, ClusterClient
from parkade.cluster.resources import EVENTS, OWNED_KINDS
from parkade.errors import ClusterRefused

_REMEMBERED: Final = 4096
"""Events kept in memory to count repetitions; the oldest are forgotten first."""
_LONGEST: Final = 1024
"""Bytes of an event's message that the API server takes."""


class Recorder:
    """Writes events; the same words about the same object raise a count instead of a new event."""

    def __init__(
        self, client: ClusterClient, identity: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._client, self._identity, self._now = client, identity, now
        self._counts: OrderedDict[str, int] = OrderedDict()

    def record(self, event: Announce) -> None:
        """Write the event, or count it again.

        Raises:
            ClusterUnavailable: the API server does not answer.
            ClusterRefused: it does not take the event.
        """
        namespace = event.target.namespace or "default"
        name = self._name(event)
        count = self._counts.pop(name, 0) + 1
        self._counts[name] = count
        while len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
        if count > 1 and self._recount(namespace, name, count):
            return
        try:
            self._client.create(EVENTS.path(namespace), self._body(event, namespace, name))
        except ClusterRefused as refusal:
            if not refusal.already_exists:  # written before a restart: the count goes on from there
                raise
            self._recount(namespace, name, count + 1)

    def _recount(self, namespace: str, name: str, count: int) -> bool:
        """Raise the count of an event; False if the API server has dropped it meanwhile."""
        try:
            self._client.merge(EVENTS.path(namespace, name), {"count": count, "lastTimestamp": self._stamp()})
        except ClusterRefused as refusal:
            if refusal.not_found:
                return False
            raise
        return True

    def _body(self, event: Announce, namespace: str, name: str) -> dict[str, object]:
        target, stamp = event.target, self._stamp()
        return {
            "apiVersion": EVENTS.api,
            "kind": EVENTS.kind,
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": OWNED_KINDS[target.kind].api,
                "kind": target.kind,
                "name": target.name,
                "uid": target.uid,
            }
            | ({"namespace": target.namespace} if target.namespace else {}),
            "type": event.level,
            "reason": event.reason,
            "message": event.message[:_LONGEST],
            "count": 1,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "source": {"component": FIELD_MANAGER},
            "reportingComponent": FIELD_MANAGER,
            "reportingInstance": self._identity,
        }

    def _name(self, event: Announce) -> str:
        words = f"{event.target.uid}/{event.level}/{event.reason}/{event.message}"
        return f"{event.target.name[:200]}.{hashlib.sha256(words.encode()).hexdigest()[:16]}"

    def _stamp(self) -> str:
        return self._now().isoformat(timespec="seconds").replace("+00:00", "Z")
