"""Collections kept by watches, so that a cycle beside thousands of cells lists nothing and parses only what changed.

kopf wakes the cycle and keeps no objects; the Kubernetes client's informer takes no custom resources. A follower lists
once, watches from there, and lists again when the API server has forgotten where it was. What this process wrote itself
is waited for, so that no cycle decides on what it has just changed.
"""

import threading
import time
from collections.abc import Iterable
from typing import Any, Final, Generic, TypeVar

from parkade.cluster.client import ClusterClient, Json
from parkade.cluster.views import VIEWS, View
from parkade.errors import ClusterRefused, ClusterUnavailable

T = TypeVar("T")
WATCH_SECONDS: Final = 60
"""A watch ends by itself after this long: one that nothing passes through any more is noticed soon after."""
RETRY_SECONDS: Final = 1.0
FIRST_SECONDS: Final = 15.0
"""For the first list."""
GONE: Final = 410
"""Status of a watch from a version that the API server has forgotten."""
LAG_SECONDS: Final = 3.0
"""For what was written to come back."""


class Follower(Generic[T]):
    """One collection as the API server showed it last; a thread of its own keeps it."""

    def __init__(self, client: ClusterClient, view: View[T]) -> None:
        self.view = view
        self._client = client
        self._changed = threading.Condition()
        self._kept: dict[str, tuple[str, T]] = {}
        """By unique id: the version, and what is kept of it."""
        self._version = ""
        self._seen = -1
        self._trouble: ClusterUnavailable | ClusterRefused | None = None
        self._current = False
        self._stop = threading.Event()
        name = f"follow-{view.resource.plural}"
        self._thread = threading.Thread(target=self._follow, name=name, daemon=True)

    def start(self) -> None:
        """Begin, once."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """End after the watch under way; the process need not wait for it."""
        self._stop.set()

    def items(self) -> list[T]:
        """What is kept of each object.

        Raises:
            ClusterUnavailable: the collection is not watched right now, so it may be old.
            ClusterRefused: the API server refuses to list it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._current or self._trouble is not None, FIRST_SECONDS)
            if self._trouble is not None:
                raise self._trouble
            if not self._current:
                raise ClusterUnavailable(f"{self.view.resource.plural} were not listed within {FIRST_SECONDS:g} s")
            return [kept for _, kept in self._kept.values()]

    def await_seen(self, version: int, gone: frozenset[str], ends: float) -> bool:
        """Whether a version, and the end of objects by unique id, were seen before a monotonic instant."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._seen >= version and self._kept.keys().isdisjoint(gone), max(0.0, ends - time.monotonic())
            )

    def forget(self) -> None:
        """List anew when the watch under way ends."""
        with self._changed:
            self._version, self._current = "", False

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                if not self._version:
                    self._list()
                self._watch()
            except (ClusterUnavailable, ClusterRefused) as error:
                if isinstance(error, ClusterRefused) and error.status == GONE:
                    self.forget()
                    continue
                with self._changed:
                    self._trouble, self._current = error, False
                    self._changed.notify_all()
                self._stop.wait(RETRY_SECONDS)

    def _list(self) -> None:
        items, version = self._client.list_at(self.view.resource.path(), self.view.selector)
        kept = {}
        for item in items:
            uid, own = item["metadata"]["uid"], item["metadata"]["resourceVersion"]
            before = self._kept.get(uid)
            kept[uid] = before if before is not None and before[0] == own else (own, self.view.keep(item))
        with self._changed:
            self._kept, self._version = kept, version
            self._seen = max(self._seen, int(version))

    def _watch(self) -> None:
        """Take in events until the watch ends."""
        query = {"resourceVersion": self._version, "timeoutSeconds": str(WATCH_SECONDS)}
        query |= {"labelSelector": self.view.selector} if self.view.selector else {}
        for event in self._client.watch(self.view.resource.path(), query, WATCH_SECONDS * 1.25):
            if self._stop.is_set():
                return
            with self._changed:
                if not self._version:  # forgotten meanwhile
                    return
            self._take(event)

    def _take(self, event: Json | None) -> None:
        """An event; None says that the watch stands."""
        if event is None:
            with self._changed:
                self._current, self._trouble = True, None
                self._changed.notify_all()
            return
        kind, item = event["type"], event["object"]
        if kind == "ERROR":  # such as 410, when the API server has forgotten where we were
            self.forget()
            return
        version = item["metadata"]["resourceVersion"]
        kept = self.view.keep(item) if kind in ("ADDED", "MODIFIED") else None
        with self._changed:
            if kind == "DELETED":
                self._kept.pop(item["metadata"]["uid"], None)
            elif kind != "BOOKMARK":
                self._kept[item["metadata"]["uid"]] = version, kept  # type: ignore[assignment]
            self._version, self._seen = version, max(self._seen, int(version))
            self._changed.notify_all()


class Following:
    """All collections of a cycle; a `Source` that begins to watch when it is asked first."""

    def __init__(self, client: ClusterClient, views: Iterable[View[Any]] = VIEWS) -> None:
        self._followers = {view.resource.kind: Follower(client, view) for view in views}
        self._lock = threading.Lock()
        self._written: dict[str, int] = {}
        """The newest version of ours, by kind."""
        self._gone: dict[str, set[str]] = {}
        """Unique ids of what we deleted, by plural."""
        client.on_written = self._note

    def collect(self, view: View[T]) -> list[T]:
        """See `Source`; what was written before is in it."""
        follower = self._followers[view.resource.kind]
        follower.start()
        items = follower.items()
        with self._lock:
            version = self._written.pop(view.resource.kind, -1)
            gone = frozenset(self._gone.pop(view.resource.plural, ()))
        if version < 0 and not gone:
            return items
        if not follower.await_seen(version, gone, time.monotonic() + LAG_SECONDS):
            follower.forget()
            raise ClusterUnavailable(
                f"the watch of {view.resource.plural} does not show what was written {LAG_SECONDS:g} s ago; "
                "they are listed anew"
            )
        return follower.items()

    def close(self) -> None:
        """End all watches."""
        for follower in self._followers.values():
            follower.stop()

    def _note(self, answer: Json) -> None:
        """Remember what the API server answered to a write."""
        with self._lock:
            if answer.get("kind") == "Status":  # of a deletion that is done
                details = answer.get("details") or {}
                self._gone.setdefault(details.get("kind", ""), set()).add(details.get("uid", ""))
            elif (kind := answer.get("kind", "")) in self._followers:
                self._written[kind] = max(self._written.get(kind, -1), int(answer["metadata"]["resourceVersion"]))
