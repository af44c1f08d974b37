"""Who leads: the Lease `parkade-operator`, renewed in a thread of its own; its transitions are the fencing term."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from parkade.cluster.client import ClusterClient, Json
from parkade.cluster.resources import CELLS, LEASES
from parkade.errors import ClusterRefused, ClusterUnavailable

NAME: Final = "parkade-operator"
_RENEWALS_PER_LEASE: Final = 5
"""Renewals in one lease: four may fail before a standby takes over."""
_SAFE_SHARE: Final = 2 / 3
"""Of the lease a leader believes in itself after its last renewal, so that it stops before a standby starts."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A holder's renewal as seen here; ages by our own clock, because clocks of two machines differ."""

    holder: str
    renewed: str
    at: float


class Leadership:
    """Acquires and renews the Lease. `term` is None unless this replica leads now."""

    def __init__(
        self,
        client: ClusterClient,
        namespace: str,
        identity: str,
        lease_seconds: float,
        on_change: Callable[[], None] = lambda: None,
        says: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`says` gives the annotations of the Lease with each renewal: what people may read of the leader's work."""
        self._client, self._namespace, self._identity = client, namespace, identity
        self._says = says
        self._seconds, self._on_change = lease_seconds, on_change
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leading", daemon=True)
        self._seen: _Sighting | None = None
        self._term: int | None = None
        self._until = 0.0
        self.reached = False
        """The API server has answered at least once."""

    @property
    def term(self) -> int | None:
        """The fencing term while this replica leads, else None; it ends by the clock even if the thread hangs."""
        return self._term if time.monotonic() < self._until else None

    def start(self) -> None:
        """Begin to compete for the Lease."""
        self._thread.start()

    def stop(self) -> None:
        """Stop competing and hand the Lease back, so that a standby need not wait for it to run out."""
        self._stop.set()
        self._thread.join(timeout=self._seconds)
        led, self._until = self.term is not None, 0.0
        if led:
            try:
                self._release()
            except (ClusterUnavailable, ClusterRefused) as error:
                log.warning("the lease runs out by itself: %s", error)

    def _run(self) -> None:
        while not self._stop.wait(self._step()):
            pass

    def _step(self) -> float:
        """Compete once; seconds until the next time."""
        before, began = self.term, time.monotonic()
        try:
            self._term = self._compete()
            self.reached = True
            self._until = began + self._seconds * _SAFE_SHARE if self._term is not None else 0.0
        except (ClusterUnavailable, ClusterRefused) as error:
            log.warning("the lease cannot be renewed: %s", error)
        if self.term != before:
            log.info("leading term %s" if self.term is not None else "standing by%.0s", self.term)
            self._on_change()
        return self._seconds / _RENEWALS_PER_LEASE

    def _compete(self) -> int | None:
        """Renew our Lease, take one that ran out, or note whose it is; the term if it is ours now."""
        try:
            lease = self._client.get(LEASES.path(self._namespace, NAME))
        except ClusterRefused as refusal:
            if not refusal.not_found:
                raise
            return self._take(None)
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") == self._identity and self._term is not None:
            return self._write(lease, self._term, spec.get("acquireTime"))
        return self._take(lease) if self._expired(spec) else None

    def _expired(self, spec: dict[str, Any]) -> bool:
        """Nobody holds it, or its holder has not renewed for a whole lease under our eyes."""
        holder, renewed = spec.get("holderIdentity") or "", str(spec.get("renewTime"))
        if not holder:
            return True
        seen = self._seen
        if seen is None or (seen.holder, seen.renewed) != (holder, renewed):
            self._seen = _Sighting(holder, renewed, time.monotonic())
            return False
        return time.monotonic() - seen.at > float(spec.get("leaseDurationSeconds") or self._seconds)

    def _take(self, lease: Json | None) -> int | None:
        """Begin a new term on a Lease that is free; None if another replica was faster.

        The Lease may have been deleted and made anew; cells remember the terms in which they were written.
        """
        transitions = int((lease or {}).get("spec", {}).get("leaseTransitions") or 0)
        try:
            return self._write(lease, max(transitions, self._largest_written()) + 1, _now())
        except ClusterRefused as refusal:
            if refusal.status == 409:
                return None
            raise

    def _largest_written(self) -> int:
        """The largest term that any cell carries; the API server refuses a smaller one."""
        try:
            cells = self._client.list(CELLS.path())
        except ClusterRefused as refusal:
            if not refusal.not_found:  # no such kind yet: no cell either
                raise
            cells = []
        return max((int((cell.get("spec") or {}).get("term") or 0) for cell in cells), default=0)

    def _write(self, lease: Json | None, term: int, acquired: str | None) -> int:
        body = self._body(term)
        body["spec"] |= {"holderIdentity": self._identity, "acquireTime": acquired, "renewTime": _now()}
        if lease is None:
            self._client.create(LEASES.path(self._namespace), body)
        else:
            body["metadata"]["resourceVersion"] = lease["metadata"]["resourceVersion"]
            self._client.replace(LEASES.path(self._namespace, NAME), body)
        return term

    def _release(self) -> None:
        lease = self._client.get(LEASES.path(self._namespace, NAME))
        if (lease.get("spec") or {}).get("holderIdentity") != self._identity or self._term is None:
            return
        body = self._body(self._term)
        body["metadata"]["resourceVersion"] = lease["metadata"]["resourceVersion"]
        body["spec"] |= {"holderIdentity": "", "renewTime": _now()}
        self._client.replace(LEASES.path(self._namespace, NAME), body)

    def _body(self, term: int) -> Json:
        return {
            "apiVersion": LEASES.api,
            "kind": LEASES.kind,
            "metadata": {"name": NAME, "namespace": self._namespace, "annotations": dict(self._says())},
            "spec": {"leaseDurationSeconds": max(1, round(self._seconds)), "leaseTransitions": term},
        }


def _now() -> str:
    """The API's MicroTime of this moment."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
