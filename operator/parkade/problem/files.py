"""What model files allow: a file that cannot be had, is not there yet, or was rejected rules a place out."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from parkade.api import InferenceWorkload
from parkade.problem.current import Kept, spare
from parkade.problem.eligibility import FILE_REASONS, artifact_for
from parkade.problem.reasons import Reason, Refusal
from parkade.problem.supply import Facts, Place
from parkade.snapshot import Rejection, Snapshot, StagedArtifact


@dataclass(frozen=True, eq=False)
class Files:
    """The store's files and who rejected them, and what runs of them already."""

    facts: Facts
    waits: bool
    """A file that nobody has asked for yet is waited for."""
    kept: Mapping[tuple[str, str], Kept]
    """By workload and place."""

    @property
    def snapshot(self) -> Snapshot:
        """What is true now."""
        return self.facts.snapshot

    @cached_property
    def staged(self) -> dict[str, StagedArtifact]:
        """By digest."""
        return {entry.sha256: entry for entry in self.snapshot.artifacts}

    @cached_property
    def rejections(self) -> Mapping[str, tuple[Rejection, ...]]:
        """By workload."""
        found: dict[str, tuple[Rejection, ...]] = {}
        for entry in self.snapshot.rejections:
            found[entry.workload] = (*found.get(entry.workload, ()), entry)
        return found

    def refusal(self, workload: InferenceWorkload, place: Place) -> Refusal | None:
        """Why the place may not run the workload's file; a model that it holds may stay."""
        rejection = self.rejection(workload, place.pool, place.hardware)
        if rejection is not None and not rejection.trial:
            message = Reason.MODEL_REJECTED.say(place=place.pool, problem=rejection.message)
            return Refusal(workload.key, place.id, Reason.MODEL_REJECTED, message)
        if not self.is_missing(workload, place.hardware) or self.holds(workload, place):
            return None
        staged = self._staged(workload, place.hardware)
        if staged is None or staged.state == "Fetching":
            return Refusal(workload.key, place.id, Reason.FETCHING, Reason.FETCHING.say(place="the operator"))
        problem = staged.message or staged.reason
        reason = next((known for known in FILE_REASONS if known == staged.reason), Reason.ARTIFACT_FAILED)
        message = problem if staged.reason else reason.say(source=staged.source, problem=problem)
        return Refusal(workload.key, place.id, reason, message)

    def is_missing(self, workload: InferenceWorkload, hardware: str) -> bool:
        """The file for the hardware is not in the store."""
        staged = self._staged(workload, hardware)
        return self.waits if staged is None else staged.state != "Staged"

    def holds(self, workload: InferenceWorkload, place: Place) -> bool:
        """Replicas of the file run there."""
        kept = self.kept.get((workload.key, place.id))
        return kept is not None and kept.replicas > 0

    def rejection(self, workload: InferenceWorkload, pool: str, hardware: str) -> Rejection | None:
        """What the pool said of the file for the hardware."""
        entries = self.rejections.get(workload.key, ())
        artifact = artifact_for(workload, hardware) if entries else None
        if artifact is None:
            return None
        return next((it for it in entries if (it.sha256, it.pool) == (artifact.sha256, pool)), None)

    def most_new(self, workload: InferenceWorkload, place: Place) -> int | None:
        """Most replicas that may be started there; None for no such limit.

        None at all while the file is not in the store, as many as disturb nobody where the model was rejected before.
        """
        if self.is_missing(workload, place.hardware):
            return 0
        if self.rejection(workload, place.pool, place.hardware) is not None:
            return spare(self.facts, place, workload.spec.model.memory.bytes)
        return None

    def is_simple(self, workload: InferenceWorkload) -> bool:
        """All its files are in the store and nobody rejected one: nothing to look at place by place."""
        if workload.key in self.rejections:
            return False
        entries = [self.staged.get(artifact.sha256) for artifact in workload.spec.model.artifacts]
        return all(not self.waits if entry is None else entry.state == "Staged" for entry in entries)

    def _staged(self, workload: InferenceWorkload, hardware: str) -> StagedArtifact | None:
        artifact = artifact_for(workload, hardware)
        return self.staged.get(artifact.sha256) if artifact else None
