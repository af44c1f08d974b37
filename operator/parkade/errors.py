"""The one tree of errors; every message says what is wrong, where, and how to mend it.

    ParkadeError
    ├── InvalidInput          what a user wrote cannot be used; exit code 2
    │   ├── InvalidManifest   a manifest breaks a rule of `api`
    │   └── InvalidProblem    a problem file breaks the format of `docs/placement.md`
    ├── Unavailable           something Parkade talks to does not answer; worth another try
    │   ├── ClusterUnavailable
    │   ├── TritonUnavailable
    │   ├── RouterUnavailable
    │   └── SourceUnavailable
    ├── ClusterRefused        the API server refuses a request; the message is its own sentence
    ├── ModelRejected         a server or a car will not load the model; the same bytes will fail again
    ├── DigestMismatch        the bytes fetched are not the bytes named
    └── LocalPlaneError       the local control plane cannot be built, started or stopped

Infeasible problems, missed SLOs and refusals are not errors: they are a Reason and a sentence in a value.
"""


class ParkadeError(Exception):
    """Base of every error that Parkade raises on purpose."""


class InvalidInput(ParkadeError):
    """What a user wrote cannot be used as it stands."""


class InvalidManifest(InvalidInput):
    """A manifest breaks a rule of its kind; the message names the field and the remedy."""


class InvalidProblem(InvalidInput):
    """A problem file breaks the format; the message names the entry and the remedy."""


class Unavailable(ParkadeError):
    """A peer does not answer; the same call may succeed later."""

    def __init__(self, message: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds for which the peer asked to be left alone; 0 if it did not."""


class ClusterUnavailable(Unavailable):
    """The API server does not answer or refuses the connection."""


class ClusterRefused(ParkadeError):
    """The API server refuses a request; the same request will be refused again."""

    def __init__(self, message: str, *, status: int, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason

    @property
    def not_found(self) -> bool:
        """The object, or its kind, is not there."""
        return self.status == 404

    @property
    def already_exists(self) -> bool:
        """The name is taken."""
        return self.status == 409 and self.reason == "AlreadyExists"


class TritonUnavailable(Unavailable):
    """A Triton server does not answer."""


class RouterUnavailable(Unavailable):
    """A router does not answer."""


class SourceUnavailable(Unavailable):
    """A model source does not answer or does not exist."""


class ModelRejected(ParkadeError):
    """The runtime refuses the model; trying the same bytes again will not help."""


class DigestMismatch(ParkadeError):
    """The bytes fetched have another sha256 than the manifest names."""


class LocalPlaneError(ParkadeError):
    """The local control plane could not be built, started or stopped."""
