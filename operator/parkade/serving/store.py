"""The store of staged artifacts: each model source is fetched once, checked, and kept by its digest."""

from collections.abc import Mapping

from parkade.snapshot import StagedArtifact


class ModelStore:
    """Artifacts by digest under `url` (fsspec), as `<url>/sha256/<hex>`; fetches run in a small thread pool."""

    def __init__(self, url: str, *, max_bytes: int = 16 * 2**30, workers: int = 2) -> None:
        raise NotImplementedError

    def stage(self, sha256: str, source: str, options: Mapping[str, object] | None = None) -> StagedArtifact:
        """The artifact's fate now; starts its fetch when it is neither staged, under way nor waiting to be tried again.

        Never blocks on the source and never raises for it: a failure is a fact (`DigestMismatch`, `SourceUnavailable`).
        `options` are fsspec storage options, such as credentials from a secret; they are never logged.
        """
        raise NotImplementedError

    def wait(self, sha256: str, timeout: float) -> None:
        """Return when the fetch under way has ended, or after `timeout` seconds."""
        raise NotImplementedError

    def read(self, sha256: str) -> bytes:
        """The staged bytes.

        Raises:
            SourceUnavailable: it is not staged.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Cancel what waits, let what runs end; nothing half-written stays visible."""
        raise NotImplementedError
