"""A refusal: a Reason of `api` and the sentence beside it, never an exception."""

from dataclasses import dataclass

from parkade.api import Reason
from parkade.api.base import Tier

__all__ = ["Reason", "Refusal", "Tier"]


@dataclass(frozen=True, slots=True, order=True)
class Refusal:
    """Why a workload may not use a place, or (with an empty place) is not planned at all."""

    workload: str
    """`namespace/name`."""
    place: str
    """Pool, or pool/link/state; empty when the workload as a whole is left out."""
    reason: Reason
    message: str
    """One sentence: what is wrong and how to mend it."""
