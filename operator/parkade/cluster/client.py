"""One rate-limited connection to the API server, speaking plain JSON."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import urllib3
from kubernetes import config
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.rest import RESTResponse

from parkade.errors import ClusterRefused, ClusterUnavailable

Json = dict[str, Any]
"""A JSON object of the API server; it never leaves the room `cluster`."""
Items = list[Json]

FIELD_MANAGER: Final = "parkade-operator"
_CONNECT_READ: Final = (3.0, 15.0)
"""Seconds; the API server itself gives up on a request after 60 s, and a cycle must not wait that long."""
_CHUNK: Final = 2**16
"""Most bytes of a watch taken at once."""
_PAGE: Final = 500
"""Objects per page of a list, as kubectl asks."""


class TokenBucket:
    """Client-side rate limit (the Python client has none): `rate` requests a second, `burst` at once.

    A caller that finds the bucket empty sleeps until its own token is there; callers are served in order of arrival.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate, self._burst = rate, float(burst)
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._tokens = float(burst)
        self._filled = clock()

    def take(self) -> None:
        """Take one token, waiting for it if there is none."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate) - 1
            self._filled = now
            debt = -self._tokens / self._rate
        if debt > 0:
            self._sleep(debt)


@dataclass(frozen=True, slots=True)
class Caller:
    """In whose name requests are made."""

    manager: str = FIELD_MANAGER
    """Field manager of what is written, and user agent."""
    context: str | None = None
    """Of the kubeconfig; None: its current one."""
    user: str = ""
    """Whom to impersonate."""

    @property
    def headers(self) -> dict[str, str]:
        """What every request says of its caller."""
        return {"User-Agent": self.manager} | ({"Impersonate-User": self.user} if self.user else {})


class ClusterClient:
    """The verbs of the API server on absolute paths; safe to use from several threads."""

    def __init__(self, api: ApiClient, bucket: TokenBucket, caller: Caller = Caller()) -> None:
        self._api, self._bucket, self._caller = api, bucket, caller
        self.clock: datetime | None = None
        """The API server's own time at its last answer; None before the first."""
        self.on_written: Callable[[Json], None] = lambda _answer: None
        """Told what the API server answers to a write."""

    @classmethod
    def connect(
        cls, qps: float, burst: int, kubeconfig: Path | None = None, caller: Caller = Caller()
    ) -> "ClusterClient":
        """Log in by a kubeconfig (the argument, else `KUBECONFIG`), else by the pod's service account.

        Raises:
            ClusterUnavailable: neither is there, or it cannot be read.
        """
        configuration = Configuration()
        try:
            _log_in(configuration, kubeconfig, caller.context)
        except (config.ConfigException, OSError) as error:
            raise ClusterUnavailable(f"no cluster to talk to: {error}; set KUBECONFIG or run inside a pod") from None
        configuration.retries = False  # the cycle is the retry: it runs again within seconds and sees the truth
        return cls(ApiClient(configuration), TokenBucket(qps, burst), caller)

    @property
    def server(self) -> str:
        """Address of the API server."""
        return str(self._api.configuration.host)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Read one object or one page.

        Raises:
            ClusterUnavailable: no answer.
            ClusterRefused: a status that is not a success, such as 404.
        """
        return self._request("GET", path, query)

    def list(self, path: str, label_selector: str = "", *, field_selector: str = "", page: int = _PAGE) -> list[Json]:
        """Read all objects of a collection, page by page; raises as `get`."""
        query = {"labelSelector": label_selector, "fieldSelector": field_selector, "limit": str(page)}
        return self._pages(path, {name: text for name, text in query.items() if text})[0]

    def list_at(self, path: str, label_selector: str = "") -> tuple[Items, str]:
        """`list`, and the version of the collection from which a watch goes on."""
        return self._pages(path, {"limit": str(_PAGE)} | ({"labelSelector": label_selector} if label_selector else {}))

    def _pages(self, path: str, query: dict[str, str]) -> tuple[Items, str]:
        items: Items = []
        while True:
            found = self.get(path, query)
            items.extend(found.get("items") or ())
            meta = found.get("metadata", {})
            if not meta.get("continue"):
                return items, str(meta.get("resourceVersion", ""))
            query["continue"] = meta["continue"]

    def watch(self, path: str, query: Mapping[str, str], patience: float) -> Iterator[Json | None]:
        """Events of a collection as they come; first None, when the watch stands.

        Args:
            path: of the collection.
            query: where to begin, and what matters.
            patience: seconds without a byte after which the connection is given up.

        Raises:
            ClusterUnavailable: it is cut off, or nothing comes any more.
            ClusterRefused: a status that is not a success, such as 410 for a version that is forgotten.
        """
        whole = {"watch": "true", "allowWatchBookmarks": "true"} | dict(query)
        with _reached("watch", path):
            answer = self._send("GET", path, whole, timeout=(_CONNECT_READ[0], patience))
            if answer.status >= 300:
                _checked("watch", path, answer.status, answer.read())  # type: ignore[no-untyped-call]
            stream = answer.response
            try:
                yield None
                yield from map(json.loads, _lines(stream.stream(_CHUNK, decode_content=True)))
            finally:
                stream.close()

    def create(self, path: str, body: Json) -> Json:
        """Create an object in a collection; raises as `get`, `already_exists` when the name is taken."""
        return self._request("POST", path, {"fieldManager": self._caller.manager}, body)

    def replace(self, path: str, body: Json) -> Json:
        """Replace an object; with a resourceVersion in it, only if nobody else did meanwhile. Raises as `get`."""
        return self._request("PUT", path, {"fieldManager": self._caller.manager}, body)

    def apply(self, path: str, body: Json) -> Json:
        """Server-side apply as the caller's field manager, taking over fields in conflict; raises as `get`."""
        query = {"fieldManager": self._caller.manager, "force": "true"}
        return self._request("PATCH", path, query, body, "application/apply-patch+yaml")

    def merge(self, path: str, body: Json) -> Json:
        """JSON merge patch; raises as `get`."""
        query = {"fieldManager": self._caller.manager}
        return self._request("PATCH", path, query, body, "application/merge-patch+json")

    def delete(self, path: str, body: Json | None = None) -> None:
        """Delete an object; one that is gone already is no error. Raises as `get` otherwise."""
        try:
            self._request("DELETE", path, None, body)
        except ClusterRefused as refusal:
            if not refusal.not_found:
                raise

    def close(self) -> None:
        """Close the connections."""
        self._api.close()  # type: ignore[no-untyped-call]

    def _request(
        self,
        verb: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        with _reached(verb, path):
            answer = self._send(verb, path, query, body, content_type)
            content = answer.read()  # type: ignore[no-untyped-call]
        self.clock = _dated(answer.headers.get("Date")) or self.clock
        told = _checked(verb, path, answer.status, content)
        if verb != "GET":
            self.on_written(told)
        return told

    def _send(
        self,
        verb: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Json | None = None,
        content_type: str = "application/json",
        timeout: tuple[float, float] = _CONNECT_READ,
    ) -> RESTResponse:
        self._bucket.take()
        headers = {"Accept": "application/json", "Content-Type": content_type} | self._caller.headers
        request = self._api.param_serialize(
            verb, path, None, list((query or {}).items()), headers, body=body, auth_settings=["BearerToken"]
        )
        return self._api.call_api(*request, _request_timeout=timeout)


@contextmanager
def _reached(verb: str, path: str) -> Iterator[None]:
    try:
        yield
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ClusterUnavailable(
            f"{verb} {path}: the API server does not answer ({type(error).__name__}: {error}); check that it runs"
        ) from None


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines of a stream."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)


def _log_in(configuration: Configuration, kubeconfig: Path | None, context: str | None) -> None:
    """Fill in the configuration; `KUBECONFIG` may list several files, as for kubectl."""
    files = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG") or config.KUBE_CONFIG_DEFAULT_LOCATION
    if kubeconfig or any(Path(file).expanduser().exists() for file in files.split(os.pathsep) if file):
        config.load_kube_config(files, context, client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]


def contexts(kubeconfig: Path | None = None) -> tuple[str, ...]:
    """Names of a kubeconfig's contexts; none where there is no kubeconfig."""
    files = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG") or config.KUBE_CONFIG_DEFAULT_LOCATION
    try:
        found, _active = config.list_kube_config_contexts(files)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError):
        return ()
    return tuple(str(entry["name"]) for entry in found)


def own_namespace(kubeconfig: Path | None, context: str | None) -> str:
    """The namespace of a kubeconfig's context, `default` where it names none or there is no kubeconfig."""
    files = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG") or config.KUBE_CONFIG_DEFAULT_LOCATION
    try:
        found, active = config.list_kube_config_contexts(files)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError):
        return "default"
    chosen = next((entry for entry in found if entry["name"] == context), active) if context else active
    return str((chosen.get("context") or {}).get("namespace") or "default")


def _dated(text: str | None) -> datetime | None:
    """The time of an HTTP date."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC) if text else None
    except ValueError:
        return None


def _checked(verb: str, path: str, status: int, content: bytes) -> Json:
    """The JSON of a success; otherwise the error that its Status object tells."""
    try:
        told = json.loads(content or b"{}")
    except ValueError:
        told = {"message": content[:200].decode(errors="replace")}
    if 200 <= status < 300 and isinstance(told, dict):
        return told
    message = f"{verb} {path}: {told.get('message') or f'status {status}'}"
    if status == 429 or status >= 500:
        raise ClusterUnavailable(message)
    raise ClusterRefused(message, status=status, reason=str(told.get("reason", "")))
