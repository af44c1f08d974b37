"""What the API server says of Nodes and Pods while something happens to vehicles: every event of them."""

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import httpx

from benchmarks.fleet.manifests import NAMESPACE
from benchmarks.fleet.places import FleetPlane

NODES: Final = "/api/v1/nodes"
PODS: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"
WATCH_SECONDS: Final = 2
"""Of one request; the next goes on where it ended, so that a watch ends in good time when nothing happens any more."""
PAUSE: Final = 0.2
"""Seconds before the next request."""
SILENT: Final = re.compile(r"(\d+) silent")
"""In the message of a Node's condition VehiclesPresent."""

Conditions = dict[str, tuple[str, str]]
"""Status and last transition by type."""


class Watching:
    """Follows Nodes and Pods in two threads from entering to leaving."""

    def __init__(self, plane: FleetPlane) -> None:
        self.plane = plane
        self.changed: set[str] = set()
        """Nodes of which a condition changed its status, if only for a moment."""
        self.lost: set[str] = set()
        """Nodes that were deleted."""
        self.deleted: set[str] = set()
        """Unique ids of pods that were deleted, or told to end."""
        self.unready: set[tuple[str, str]] = set()
        """Node and name of each pod that ceased to be ready, if only for a moment."""
        self.silent: dict[str, int] = {}
        """Most silent vehicles that each node spoke of."""
        self.gaps = 0
        """How often the API server no longer had the events asked for; then states are compared."""
        self._conditions: dict[str, Conditions] = {}
        self._ready: dict[str, bool] = {}
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        for path, take in self.paths():
            version = self._list(path, take)
            thread = threading.Thread(target=self._follow, args=(path, version, take), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def paths(self) -> Sequence[tuple[str, Callable[[str, Mapping[str, Any]], None]]]:
        """What is followed, and who takes it in."""
        return (NODES, self.node), (PODS, self.pod)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _list(self, path: str, take: Any) -> str:
        found = self.plane.api.get(path).raise_for_status().json()
        for item in found["items"]:
            take("ADDED", item)
        if path == NODES:  # what was deleted while no event came
            self.lost |= self._conditions.keys() - {item["metadata"]["name"] for item in found["items"]}
        else:
            self.deleted |= self._ready.keys() - {item["metadata"]["uid"] for item in found["items"]}
        return str(found["metadata"]["resourceVersion"])

    def _follow(self, path: str, version: str, take: Any) -> None:
        while not self._ended.is_set():
            with suppress(httpx.HTTPError, json.JSONDecodeError):
                asked = {
                    "watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true",
                    "timeoutSeconds": str(WATCH_SECONDS),
                }  # fmt: skip
                with self.plane.api.stream("GET", path, params=asked) as events:
                    for line in events.iter_lines():
                        event = json.loads(line)
                        if event.get("type", "ERROR") == "ERROR":  # a refusal as a whole has no type
                            self.gaps += 1
                            version = self._list(path, take)
                            break
                        version = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] != "BOOKMARK":
                            take(event["type"], event["object"])
            self._ended.wait(PAUSE)

    def node(self, what: str, node: Mapping[str, Any]) -> None:
        """Take in an event of a Node."""
        name = node["metadata"]["name"]
        if what == "DELETED":
            self.lost.add(name)
            return
        found = node["status"].get("conditions", [])
        now = {each["type"]: (each["status"], each["lastTransitionTime"]) for each in found}
        if self._conditions.setdefault(name, now) != now:
            self.changed.add(name)
            self._conditions[name] = now
        for each in found:
            if silent := SILENT.search(each.get("message", "")):
                self.silent[name] = max(self.silent.get(name, 0), int(silent[1]))

    def pod(self, what: str, pod: Mapping[str, Any]) -> None:
        """Take in an event of a Pod."""
        about = pod["metadata"]
        if what == "DELETED" or "deletionTimestamp" in about:
            self.deleted.add(about["uid"])
            return
        ready = any(
            each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", [])
        )
        if self._ready.get(about["uid"]) and not ready:
            self.unready.add((pod["spec"]["nodeName"], about["name"]))
        self._ready[about["uid"]] = ready
