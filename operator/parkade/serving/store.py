"""The store of staged artifacts: each model source is fetched once, checked, and kept by its digest."""

import contextlib
import hashlib
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final, Literal, cast
from urllib.parse import urlsplit

import aiohttp
import fsspec

from parkade.errors import DigestMismatch, ParkadeError, SourceUnavailable
from parkade.snapshot import StagedArtifact

CHUNK: Final = 2**20
FIRST_BACKOFF: Final = 5.0
"""Seconds until a failed fetch is tried again; doubled each time up to the longest."""
LONGEST_BACKOFF: Final = 300.0
HTTP_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)
"""A large model may take hours; what may not take long is silence."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    fact: StagedArtifact
    fetch: Future[StagedArtifact] | None = None
    failures: int = 0
    next_try: float = 0.0


class ModelStore:
    """Artifacts by digest under `url` (fsspec), as `<url>/sha256/<hex>`; fetches run in a small thread pool.

    The file appears under its digest only when all its bytes are there and have that digest. One process writes to a
    store at a time: the leader.
    """

    def __init__(
        self,
        url: str,
        *,
        max_bytes: int = 16 * 2**30,
        workers: int = 2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._max_bytes = max_bytes
        self._clock = clock
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="parkade-fetch")
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._attempts: dict[tuple[str, str], _Attempt] = {}

    def stage(self, sha256: str, source: str, options: Mapping[str, Any] | None = None) -> StagedArtifact:
        """The artifact's fate now; starts its fetch when it is not staged, under way or waiting to be tried again.

        Never blocks on the source and never raises for it: a failure is a fact (`DigestMismatch`, `SourceUnavailable`)
        and stays one while it is tried again. `options` are fsspec storage options, such as credentials; they are
        never logged.
        """
        try:
            return StagedArtifact(sha256, source, "Staged", size=self.size(sha256))
        except SourceUnavailable as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                return StagedArtifact(sha256, source, "Failed", reason="SourceUnavailable", message=str(error))
        with self._lock:
            attempt = self._advance(sha256, source)
            if attempt.fetch is None and attempt.next_try <= self._clock() and not self._closing.is_set():
                fetch = self._pool.submit(self._fetch, sha256, source, dict(options or {}))
                attempt = replace(attempt, fetch=fetch)
            self._attempts[sha256, source] = attempt
            return attempt.fact

    def staged(self, sha256: str, source: str) -> StagedArtifact | None:
        """The artifact if it is in the store; None, and no fetch begins, if it is not or the store does not answer."""
        try:
            return StagedArtifact(sha256, source, "Staged", size=self.size(sha256))
        except SourceUnavailable:
            return None

    def wait(self, sha256: str, timeout: float) -> None:
        """Return when the fetches of this digest under way have ended, or after `timeout` seconds."""
        with self._lock:
            fetches = [attempt.fetch for (digest, _), attempt in self._attempts.items() if digest == sha256]
        wait([fetch for fetch in fetches if fetch is not None], timeout)

    def size(self, sha256: str) -> int:
        """Bytes of the staged artifact.

        Raises:
            SourceUnavailable: it is not staged, or the store does not answer.
        """
        with self._using():
            system, root = self._open_store()
            return int(system.size(f"{root}/sha256/{sha256}"))

    def open(self, sha256: str) -> BinaryIO:
        """The staged artifact, to be read and closed by the caller.

        Raises:
            SourceUnavailable: it is not staged, or the store does not answer.
        """
        with self._using():
            system, root = self._open_store()
            return cast("BinaryIO", system.open(f"{root}/sha256/{sha256}", "rb"))

    def close(self) -> None:
        """Stop what runs and forget what waits; nothing half-written stays."""
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _advance(self, sha256: str, source: str) -> _Attempt:
        """What is known of this fetch, its result taken in if it has ended."""
        fetching = StagedArtifact(sha256, source, "Fetching")
        attempt = self._attempts.get((sha256, source), _Attempt(fetching))
        if attempt.fetch is None or not attempt.fetch.done():
            return attempt
        fact = fetching if attempt.fetch.cancelled() else attempt.fetch.result()
        if fact.state != "Failed":
            return _Attempt(fact if fact.state == "Fetching" else fetching)  # staged once, and gone since
        pause = min(FIRST_BACKOFF * 2.0**attempt.failures, LONGEST_BACKOFF)
        return _Attempt(fact, failures=attempt.failures + 1, next_try=self._clock() + pause)

    def _fetch(self, sha256: str, source: str, options: dict[str, Any]) -> StagedArtifact:
        reason: Literal["DigestMismatch", "SourceUnavailable"] = "SourceUnavailable"
        try:
            size = self._bring(sha256, source, options)
        except DigestMismatch as error:
            reason, message = "DigestMismatch", str(error)
        except ParkadeError as error:
            message = str(error)
        except Exception as error:  # noqa: BLE001 -- each kind of source has errors of its own
            message = (
                f"{_shown(source)} cannot be fetched ({_said(error)});"
                " check the artifact's source and, if it is private, its secretRef"
            )
        else:
            return StagedArtifact(sha256, source, "Staged", size=size)
        return StagedArtifact(sha256, source, "Failed", reason=reason, message=message)

    def _bring(self, sha256: str, source: str, options: dict[str, Any]) -> int:
        """Copy the source into the store, hashing on the way; returns its size in bytes."""
        with self._using():
            system, root = self._open_store()
            for folder in ("incoming", "sha256"):
                system.makedirs(f"{root}/{folder}", exist_ok=True)
            for orphan in system.glob(f"{root}/incoming/{sha256}.*"):
                system.rm(orphan)  # of a process that was killed
        temporary = f"{root}/incoming/{sha256}.{secrets.token_hex(8)}"
        try:
            with _open_source(source, options) as stream, system.open(temporary, "wb") as sink:
                digest, size = self._copy(stream, sink, source)
            if digest != sha256:
                raise DigestMismatch(
                    f"{_shown(source)} has sha256 {digest}, the manifest names {sha256};"
                    " correct the manifest's sha256 or put the right file at the source"
                )
            with self._using():
                system.mv(temporary, f"{root}/sha256/{sha256}")
        finally:
            with contextlib.suppress(OSError):
                if system.exists(temporary):
                    system.rm(temporary)
        return size

    def _copy(self, stream: BinaryIO, sink: BinaryIO, source: str) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        while chunk := stream.read(CHUNK):
            if self._closing.is_set():
                raise SourceUnavailable(f"fetching {_shown(source)} was stopped; it starts again with the operator")
            size += len(chunk)
            if size > self._max_bytes:
                raise SourceUnavailable(
                    f"{_shown(source)} has more than the {self._max_bytes} bytes that a model may have;"
                    " name a smaller file"
                )
            digest.update(chunk)
            with self._using():
                sink.write(chunk)
        return digest.hexdigest(), size

    def _open_store(self) -> tuple[Any, str]:
        system, root = fsspec.core.url_to_fs(self._url, use_listings_cache=False)
        return system, root.rstrip("/")

    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise SourceUnavailable(
                f"the artifact is not staged in the model store {self._url}; it is once its source has been fetched"
            ) from error
        except (OSError, ImportError, ValueError) as error:
            raise SourceUnavailable(
                f"the model store {self._url} cannot be used ({_said(error)});"
                " check PARKADE_MODEL_STORE and its free space"
            ) from error


def _open_source(source: str, options: dict[str, Any]) -> BinaryIO:
    how: dict[str, Any] = {}
    if source.startswith(("http://", "https://")):
        client = {"timeout": HTTP_TIMEOUT, **options.pop("client_kwargs", {})}
        options = {"client_kwargs": client, "encoded": True, **options}
        # one request, read as it comes; a size given spares a HEAD request that would hide the status of a refusal
        how = {"block_size": 0, "size": 1}
    system, path = fsspec.core.url_to_fs(source, skip_instance_cache=True, **options)
    return cast("BinaryIO", system.open(path, "rb", **how))


def _shown(source: str) -> str:
    """The source without what may be secret in it: user information and query."""
    parts = urlsplit(source)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _said(error: Exception) -> str:
    """What went wrong without any URL, since one may carry a signature."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"HTTP status {error.status}"
    if isinstance(error, FileNotFoundError):
        return "not found"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return re.sub(r"[a-z0-9+]+://\S+", "<url>", text)[:300]
