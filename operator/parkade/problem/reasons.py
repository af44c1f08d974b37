"""Why something runs where it does, or does not: words that go verbatim into status, conditions and events."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Tier = Literal["Vehicle", "Datacenter"]


class Reason(StrEnum):
    """One word for one cause; the sentence beside it names the numbers and the remedy."""

    # why a replica is at its place
    CHEAPEST_PLACE = "CheapestPlace"
    ONLY_PLACE = "OnlyPlace"
    KEPT_IN_PLACE = "KeptInPlace"
    CHEAPER_PLACE_FULL = "CheaperPlaceFull"
    SPREAD_REQUIRED = "SpreadRequired"
    MIN_REPLICAS = "MinReplicas"
    LATE_BUT_SERVED = "LateButServed"

    # why a place cannot be used by a workload
    TIER_NOT_ALLOWED = "TierNotAllowed"
    JURISDICTION_NOT_ALLOWED = "JurisdictionNotAllowed"
    UNKNOWN_REGION = "UnknownRegion"
    FLEET_NOT_TRUSTED = "FleetNotTrusted"
    NO_PROFILE = "NoProfile"
    NO_ARTIFACT = "NoArtifact"
    MODEL_TOO_LARGE = "ModelTooLarge"
    PAYLOAD_TOO_LARGE = "PayloadTooLarge"
    LINK_NOT_ALLOWED = "LinkNotAllowed"
    NO_VEHICLES = "NoVehicles"
    NO_SERVERS = "NoServers"
    TOO_SLOW = "TooSlow"

    # why a workload is not planned at all
    SUSPENDED = "Suspended"
    BEING_DELETED = "BeingDeleted"
    MODEL_NAME_TAKEN = "ModelNameTaken"
    ARTIFACT_FAILED = "ArtifactFailed"
    BATCH_NOT_SUPPORTED = "BatchNotSupported"
    NO_PLACE = "NoPlace"
    INVALID_VALUES = "InvalidValues"

    # why a want is not met
    NOT_ENOUGH_CAPACITY = "NotEnoughCapacity"
    NOT_ENOUGH_PLACES = "NotEnoughPlaces"
    NOT_PACKED = "NotPacked"


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
