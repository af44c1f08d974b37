"""Why something in the car does not run: a Reason goes verbatim into the state, conditions and events."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """One word a refusal; its sentence says how to mend it."""

    # the owner's contract: the car as a whole
    Leaving = "Leaving"
    Paused = "Paused"
    NotPluggedIn = "NotPluggedIn"
    ChargeTooLow = "ChargeTooLow"
    LinkNotAllowed = "LinkNotAllowed"
    QuietHours = "QuietHours"
    DepartingSoon = "DepartingSoon"
    TooHot = "TooHot"
    TooCold = "TooCold"
    RangeSpent = "RangeSpent"
    DataCapReached = "DataCapReached"
    PriceUnknown = "PriceUnknown"
    PriceTooLow = "PriceTooLow"
    OwnerTermsLost = "OwnerTermsLost"
    NotebookFails = "NotebookFails"
    LooserThanContract = "LooserThanContract"
    # one assignment
    FormatNotSupported = "FormatNotSupported"
    NotEnoughMemory = "NotEnoughMemory"
    WaitingForUrl = "WaitingForUrl"
    SourceUnavailable = "SourceUnavailable"
    DiskFull = "DiskFull"
    DigestMismatch = "DigestMismatch"
    ModelRejected = "ModelRejected"
    LoadCrashed = "LoadCrashed"
    RouterUnavailable = "RouterUnavailable"
    AnswersRejected = "AnswersRejected"
    AnswersDisagree = "AnswersDisagree"
    InternalError = "InternalError"


ANSWERS: Final = (Reason.AnswersRejected, Reason.AnswersDisagree)
"""What a router says of a car whose answers cannot be used, or are not what Triton computes."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason and the sentence that goes with it."""

    reason: Reason
    message: str
