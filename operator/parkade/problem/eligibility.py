"""Which workload may use which place; a refusal is a Reason and a sentence, never an exception."""

from collections.abc import Iterator
from typing import Final

from parkade.api import InferenceWorkload
from parkade.api.workload import RETRY_BUFFER, Artifact, Profile
from parkade.problem.latency import Service
from parkade.problem.reasons import Reason, Refusal
from parkade.problem.supply import Place
from parkade.snapshot import ObservedProfile

FORMATS: Final = ("onnx",)
"""What cars and the runtime templates for Triton can run today."""

FILE_REASONS: Final = (
    Reason.MODEL_REJECTED,
    Reason.DIGEST_MISMATCH,
    Reason.SOURCE_UNAVAILABLE,
    Reason.ARTIFACT_FAILED,
    Reason.FETCHING,
)
"""Why a model file keeps a workload from a place; where several do, the first is what a person can do most about."""

Finding = tuple[Reason, str]


def refusal(workload: InferenceWorkload, place: Place) -> Refusal | None:
    """The first reason why the workload may not use the place, or None."""
    finding = next(_findings(workload, place), None)
    return Refusal(workload.key, place.id, *finding) if finding else None


def profile_for(workload: InferenceWorkload, hardware: str) -> Profile | None:
    """How the model runs on the hardware, if it was measured."""
    return next((p for p in workload.spec.model.profiles if p.hardware == hardware), None)


def service_of(profile: Profile) -> Service:
    """One replica's work on a request, as the manifest says or as it was observed."""
    held = (profile.held.seconds, profile.held_scv.value) if isinstance(profile, ObservedProfile) else None
    return Service(profile.service_time.seconds, profile.scv.value, held)


def artifact_for(workload: InferenceWorkload, hardware: str) -> Artifact | None:
    """The file for the hardware: one made for it before one for any."""
    artifacts = workload.spec.model.artifacts
    made = next((a for a in artifacts if hardware in a.hardware), None)
    return made or next((a for a in artifacts if "*" in a.hardware), None)


def _findings(workload: InferenceWorkload, place: Place) -> Iterator[Finding]:
    spec = workload.spec
    model, placement, car = spec.model, spec.placement, place.tier == "Vehicle"
    if place.tier not in placement.tiers:
        yield _found(Reason.TIER_NOT_ALLOWED, tier=place.tier, place=place.pool)
    if placement.jurisdictions and place.jurisdiction not in placement.jurisdictions:
        yield _found(Reason.JURISDICTION_NOT_ALLOWED, place=place.pool, jurisdiction=place.jurisdiction)
    if car and spec.trust.fleets and place.fleet not in spec.trust.fleets:
        yield _found(Reason.FLEET_NOT_TRUSTED, fleet=place.fleet, place=place.pool)
    if car and spec.payload.request.bytes > RETRY_BUFFER:
        yield _found(Reason.PAYLOAD_TOO_LARGE, request=spec.payload.request)
    if profile_for(workload, place.hardware) is None:
        yield _found(Reason.NO_PROFILE, hardware=place.hardware)
    artifact = artifact_for(workload, place.hardware)
    if artifact is None:
        yield _found(Reason.NO_ARTIFACT, hardware=place.hardware)
    elif artifact.format not in FORMATS:
        yield _found(Reason.FORMAT_NOT_SUPPORTED, place=place.pool, format=artifact.format)
    if model.memory.bytes > place.memory:
        available = f"{place.memory // 2**20}Mi"
        yield _found(Reason.MODEL_TOO_LARGE, needed=model.memory, place=place.pool, available=available)


def _found(reason: Reason, **facts: object) -> Finding:
    return reason, reason.say(**facts)
