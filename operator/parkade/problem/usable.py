"""Which places workloads may use, as rows that alike workloads share."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from parkade.api import InferenceWorkload
from parkade.api.workload import RETRY_BUFFER
from parkade.problem.columns import Bools, Ints, PlaceColumns
from parkade.problem.eligibility import artifact_for, refusal
from parkade.problem.files import Files
from parkade.problem.reasons import Reason
from parkade.problem.supply import Place


@dataclass(frozen=True, slots=True, eq=False)
class Usable:
    """U rows of K places for W workloads."""

    rows: Bools
    """[U, K]"""
    of_row: Ints
    """[W]"""
    most_new: Mapping[tuple[int, int], int]
    """Most replicas that may be started, by (workload, place), where files set a limit."""
    awaited: tuple[tuple[str, str], ...]
    """(workload, sha256) of files that some place could run and the store does not have."""

    def take(self, chosen: Sequence[int]) -> "Usable":
        """Some of the workloads."""
        index = {old: new for new, old in enumerate(chosen)}
        most = {(index[w], k): limit for (w, k), limit in self.most_new.items() if w in index}
        return Usable(self.rows, self.of_row[np.array(chosen, dtype=np.int64)], most, self.awaited)

    def by_class(self, columns: PlaceColumns) -> Ints:
        """[U, P], places of each class that may be used."""
        order = np.argsort(columns.of_class, kind="stable")
        starts = np.searchsorted(columns.of_class[order], np.arange(len(columns.classes)))
        found: Ints = np.add.reduceat(self.rows[:, order], starts, axis=1, dtype=np.int64)
        return found


@dataclass(slots=True)
class _Draft:
    columns: PlaceColumns
    files: Files
    kinds: Ints
    """[K], places alike in all that rules look at"""
    examples: tuple[Place, ...]
    """One of each kind"""
    bases: dict[Hashable, Bools] = field(default_factory=dict)
    rows: dict[Hashable, int] = field(default_factory=dict)
    table: list[Bools] = field(default_factory=list)
    most_new: dict[tuple[int, int], int] = field(default_factory=dict)
    awaited: set[tuple[str, str]] = field(default_factory=set)


def usable_places(workloads: Sequence[InferenceWorkload], columns: PlaceColumns, files: Files) -> Usable:
    """Apply the rules once for each kind of workload and kind of place; memory and files for each workload."""
    kinds: dict[Hashable, tuple[int, Place]] = {}
    of_kind = [
        kinds.setdefault((it.tier, it.jurisdiction, it.fleet, it.hardware), (len(kinds), it))[0]
        for it in columns.places
    ]
    examples = tuple(place for _, place in kinds.values())
    draft = _Draft(columns, files, np.array(of_kind, dtype=np.int64), examples)
    of_row = [_row(draft, index, workload) for index, workload in enumerate(workloads)]
    table = np.array(draft.table, dtype=np.bool_).reshape(len(draft.table), len(columns.places))
    return Usable(table, np.array(of_row, dtype=np.int64), draft.most_new, tuple(sorted(draft.awaited)))


def _row(draft: _Draft, index: int, workload: InferenceWorkload) -> int:
    spec = workload.spec
    base = (
        spec.placement.tiers,
        spec.placement.jurisdictions,
        spec.trust.fleets,
        spec.payload.request.bytes > RETRY_BUFFER,
        tuple(profile.hardware for profile in spec.model.profiles),
        tuple((artifact.hardware, artifact.format) for artifact in spec.model.artifacts),
    )
    simple = draft.files.is_simple(workload)
    key: Hashable = (base, spec.model.memory) if simple else workload.key
    if key in draft.rows:
        return draft.rows[key]
    if base not in draft.bases:
        draft.bases[base] = np.array([_allowed(workload, place) for place in draft.examples], dtype=np.bool_)[
            draft.kinds
        ]
    columns = draft.columns
    row: Bools = draft.bases[base] & (spec.model.memory.bytes <= columns.memory)
    if not simple:
        row = _with_files(draft, index, workload, row)
    draft.rows[key] = len(draft.table)
    draft.table.append(row)
    return draft.rows[key]


def _allowed(workload: InferenceWorkload, place: Place) -> bool:
    """Whatever its memory, which differs within a kind of place."""
    found = refusal(workload, place)
    return found is None or found.reason is Reason.MODEL_TOO_LARGE


def _with_files(draft: _Draft, index: int, workload: InferenceWorkload, row: Bools) -> Bools:
    allowed = row.copy()
    for at in np.flatnonzero(row).tolist():
        place = draft.columns.places[at]
        refused = draft.files.refusal(workload, place)
        if refused is None or refused.reason is not Reason.MODEL_REJECTED:
            artifact = artifact_for(workload, place.hardware)
            if artifact is not None and draft.files.is_missing(workload, place.hardware):
                draft.awaited.add((workload.key, artifact.sha256))
        allowed[at] = refused is None
        limit = draft.files.most_new(workload, place) if refused is None else None
        if limit is not None:
            draft.most_new[index, at] = limit
    return allowed
