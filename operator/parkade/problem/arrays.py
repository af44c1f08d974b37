"""The placement problem as flat arrays, for problems with millions of arcs; `docs/placement.md` lists the entries.

The numbers and names are those of `format.Problem`; `flattening` converts between the two. Rows of different length
stand one after the other, and an array of offsets says where each begins. `from_mapping` checks shapes, types and
indices; the solver checks values.
"""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from parkade.errors import InvalidProblem

Array = NDArray[Any]
Kind = Literal["whole numbers", "numbers", "text"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One array of the file."""

    kind: Kind
    like: str
    """The array that has as many entries, or itself."""
    extra: int = 0
    """Entries more than that: 1 for offsets."""
    optional: bool = False


ENTRIES: Final[Mapping[str, Entry]] = {
    "demands.id": Entry("text", "demands.covers_offsets", -1, optional=True),
    "demands.covers_offsets": Entry("whole numbers", "demands.covers_offsets"),
    "demands.covers.id": Entry("text", "demands.covers.quantity", optional=True),
    "demands.covers.quantity": Entry("numbers", "demands.covers.quantity"),
    "demands.covers.short_cost": Entry("numbers", "demands.covers.quantity"),
    "supplies.id": Entry("text", "supplies.steps_offsets", -1, optional=True),
    "supplies.steps_offsets": Entry("whole numbers", "supplies.steps_offsets"),
    "supplies.steps.count": Entry("whole numbers", "supplies.steps.count"),
    "supplies.steps.cost": Entry("numbers", "supplies.steps.count"),
    "supplies.capacity_offsets": Entry("whole numbers", "supplies.steps_offsets"),
    "supplies.capacity.name": Entry("text", "supplies.capacity.name"),
    "supplies.capacity.amount": Entry("numbers", "supplies.capacity.name"),
    "arcs.id": Entry("text", "arcs.demand", optional=True),
    "arcs.demand": Entry("whole numbers", "arcs.demand"),
    "arcs.supply": Entry("whole numbers", "arcs.demand"),
    "arcs.cost": Entry("numbers", "arcs.demand"),
    "arcs.max": Entry("whole numbers", "arcs.demand"),
    "arcs.yields_offsets": Entry("whole numbers", "arcs.demand", 1, optional=True),
    "arcs.yields": Entry("numbers", "arcs.yields"),
    "arcs.use_offsets": Entry("whole numbers", "arcs.demand", 1),
    "arcs.use.resource": Entry("whole numbers", "arcs.use.resource"),
    "arcs.use.amount": Entry("numbers", "arcs.use.resource"),
    "limits.id": Entry("text", "limits.bound", optional=True),
    "limits.bound": Entry("numbers", "limits.bound"),
    "limits.terms_offsets": Entry("whole numbers", "limits.bound", 1),
    "limits.terms.arc": Entry("whole numbers", "limits.terms.arc"),
    "limits.terms.coefficient": Entry("numbers", "limits.terms.arc"),
}
"""Every array by its name in the file; the attribute of `ProblemArrays` has `_` for `.`."""

_KINDS: Final[Mapping[Kind, tuple[str, ...]]] = {"whole numbers": ("i", "u"), "numbers": ("f",), "text": ("U",)}
"""numpy's `dtype.kind`; half and extended precision are refused by their size."""


@dataclass(frozen=True, slots=True, eq=False)
class ProblemArrays:
    """A problem of W demands with C covers, K supplies with S steps and R resources, A arcs, L limits with T terms.

    Money is $/h, quantities and yields are in the cover's own unit, use and capacity in the resource's unit.
    """

    demands_covers_offsets: Array
    """int [W+1]"""
    demands_covers_quantity: Array
    """float [C]"""
    demands_covers_short_cost: Array
    """float [C], $/h for each unit that is not covered"""
    supplies_steps_offsets: Array
    """int [K+1]"""
    supplies_steps_count: Array
    """int [S]"""
    supplies_steps_cost: Array
    """float [S], $/h for each unit"""
    supplies_capacity_offsets: Array
    """int [K+1]"""
    supplies_capacity_name: Array
    """unicode [R], sorted within a supply"""
    supplies_capacity_amount: Array
    """float [R], of one unit"""
    arcs_demand: Array
    """int [A]"""
    arcs_supply: Array
    """int [A]"""
    arcs_cost: Array
    """float [A], $/h for one replica beyond the units it uses"""
    arcs_max: Array
    """int [A]"""
    arcs_yields: Array
    """float [sum of the covers of each arc's demand], arc after arc"""
    arcs_use_offsets: Array
    """int [A+1]"""
    arcs_use_resource: Array
    """int [U], index into the supply's resources"""
    arcs_use_amount: Array
    """float [U]"""
    limits_bound: Array
    """float [L]"""
    limits_terms_offsets: Array
    """int [L+1]"""
    limits_terms_arc: Array
    """int [T]"""
    limits_terms_coefficient: Array
    """float [T]"""
    demands_id: Array | None = None
    """unicode [W]; "0", "1", ... when missing"""
    demands_covers_id: Array | None = None
    """unicode [C]; "0", "1", ... within each demand when missing"""
    supplies_id: Array | None = None
    """unicode [K]"""
    arcs_id: Array | None = None
    """unicode [A]; large problems leave it out"""
    arcs_yields_offsets: Array | None = None
    """int [A+1]; follows from the demands"""
    limits_id: Array | None = None
    """unicode [L]"""

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Array]) -> "ProblemArrays":
        """Take the arrays of an opened `.npz` file, or of any mapping with the same names.

        Raises:
            InvalidProblem: an array is missing, unknown, of a wrong type or length, or an index is out of range.
        """
        unknown = sorted(set(mapping) - set(ENTRIES) - {"version"})
        if unknown:
            raise InvalidProblem(f"{unknown[0]} is not an entry of the problem file; remove it or correct its name")
        _check_version(mapping)
        found = {name: _typed(mapping, name, entry) for name, entry in ENTRIES.items()}
        given = {name: array for name, array in found.items() if array is not None}
        _check_lengths(given)
        problem = cls(**{_attribute(name): array for name, array in given.items()})
        _check_offsets(problem)
        _check_indices(problem)
        return problem

    @classmethod
    def from_npz(cls, file: Path | IO[bytes]) -> "ProblemArrays":
        """Read a problem file.

        Raises:
            InvalidProblem: the file cannot be read, is no `.npz` file, is damaged, or breaks the format.
        """
        try:
            with (
                file.open("rb") if isinstance(file, Path) else nullcontext(file) as raw
            ):  # numpy leaves damaged ones open
                opened = np.load(raw, allow_pickle=False)
                if not isinstance(opened, np.lib.npyio.NpzFile):
                    raise InvalidProblem(f"{file} holds one array, not a problem; write the entries by numpy.savez")
                with opened:
                    return cls.from_mapping(opened)
        except OSError as error:
            raise InvalidProblem(f"{file} cannot be read: {error.strerror or error}; name an .npz file") from None
        except (
            ValueError,
            EOFError,
            KeyError,
            MemoryError,
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise InvalidProblem(f"{file} is damaged or no .npz file: {error}; write it again by numpy.savez") from None

    def to_mapping(self) -> dict[str, Array]:
        """The arrays by their names in the file, with `version`; missing ones are left out."""
        named = {name: getattr(self, _attribute(name)) for name in ENTRIES}
        return {"version": np.array(1)} | {name: array for name, array in named.items() if array is not None}

    def to_npz(self, file: Path | IO[bytes]) -> None:
        """Write a problem file, uncompressed; equal problems give equal bytes.

        Raises:
            OSError: the file cannot be written.
        """
        if isinstance(file, Path):
            with file.open("wb") as opened:  # numpy would add .npz to other names
                self.to_npz(opened)
            return
        np.savez(file, allow_pickle=False, **self.to_mapping())

    @property
    def yields_offsets(self) -> Array:
        """int64 [A+1]: where each arc's yields begin, given or derived."""
        if self.arcs_yields_offsets is not None:
            return self.arcs_yields_offsets.astype(np.int64)
        covers = _lengths(self.demands_covers_offsets)
        return offsets_of(covers[self.arcs_demand])


def _lengths(offsets: Array) -> NDArray[np.int32]:
    """Of the rows; 32 bits, because large problems have one an arc."""
    return (offsets[1:] - offsets[:-1]).astype(np.int32)


def _attribute(name: str) -> str:
    return name.replace(".", "_")


def offsets_of(lengths: Array | Sequence[int]) -> Array:
    """int64 [rows + 1]: where rows of these lengths begin, and where the last one ends."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _check_version(mapping: Mapping[str, Array]) -> None:
    if "version" not in mapping:
        raise InvalidProblem("version is missing from the problem; write 1, the only version of the problem file")
    version = np.asarray(mapping["version"])
    if version.shape != () or version.dtype.kind not in "iu" or version != 1:
        raise InvalidProblem("version must be 1, the only version of the problem file")


def _typed(mapping: Mapping[str, Array], name: str, entry: Entry) -> Array | None:
    if name not in mapping:
        if entry.optional:
            return None
        raise InvalidProblem(f"{name} is missing from the problem; docs/placement.md lists the entries")
    array = np.asarray(mapping[name])
    if array.ndim != 1:
        raise InvalidProblem(f"{name} has {array.ndim} dimensions; write it as one row")
    kind = array.dtype.kind
    if kind not in _KINDS[entry.kind] or (kind == "f" and array.dtype.itemsize not in (4, 8)):
        remedy = "float32 or float64" if entry.kind == "numbers" else "unicode" if entry.kind == "text" else "integers"
        raise InvalidProblem(f"{name} has the type {array.dtype}; write {entry.kind} as {remedy}")
    return array


def _check_lengths(given: Mapping[str, Array]) -> None:
    for name, array in given.items():
        entry = ENTRIES[name]
        expected = len(given[entry.like]) + entry.extra
        if len(array) != expected:
            raise InvalidProblem(f"{name} has {len(array)} entries where {entry.like} asks for {expected}")


def _check_offsets(problem: ProblemArrays) -> None:
    rows = {
        "demands.covers_offsets": problem.demands_covers_quantity,
        "supplies.steps_offsets": problem.supplies_steps_count,
        "supplies.capacity_offsets": problem.supplies_capacity_name,
        "arcs.use_offsets": problem.arcs_use_resource,
        "limits.terms_offsets": problem.limits_terms_arc,
    }
    for name, row in rows.items():
        offsets = getattr(problem, _attribute(name))
        if len(offsets) == 0 or offsets[0] != 0:
            raise InvalidProblem(f"{name} must begin with 0, where the first row begins")
        falls = np.flatnonzero(offsets[1:] < offsets[:-1])
        if falls.size:
            raise InvalidProblem(f"{name}[{falls[0] + 1}] is below the offset before it; rows follow one another")
        if offsets[-1] != len(row):
            raise InvalidProblem(f"{name} ends with {offsets[-1]} where the rows end at {len(row)}")


def _check_indices(problem: ProblemArrays) -> None:
    supplies, demands = len(problem.supplies_steps_offsets) - 1, len(problem.demands_covers_offsets) - 1
    _check_range("arcs.demand", problem.arcs_demand, demands, "demands")
    _check_range("arcs.supply", problem.arcs_supply, supplies, "supplies")
    _check_range("limits.terms.arc", problem.limits_terms_arc, len(problem.arcs_demand), "arcs")
    resources = _lengths(problem.supplies_capacity_offsets)[problem.arcs_supply]
    of_use = np.repeat(resources, _lengths(problem.arcs_use_offsets))
    _check_range("arcs.use.resource", problem.arcs_use_resource, of_use, "resources of its supply")
    covers = _lengths(problem.demands_covers_offsets)
    expected = int(covers[problem.arcs_demand].sum())
    if len(problem.arcs_yields) != expected:
        raise InvalidProblem(
            f"arcs.yields has {len(problem.arcs_yields)} entries; the covers of the arcs' demands ask for {expected}"
        )
    if problem.arcs_yields_offsets is not None:
        wrong = np.flatnonzero(problem.arcs_yields_offsets != offsets_of(covers[problem.arcs_demand]))
        if wrong.size:
            raise InvalidProblem(f"arcs.yields_offsets[{wrong[0]}] is not where the yields of that arc begin")
    names, offsets = problem.supplies_capacity_name, problem.supplies_capacity_offsets
    rising = names[1:] > names[:-1]
    rising[offsets[1:-1][(offsets[1:-1] > 0) & (offsets[1:-1] < len(names))] - 1] = True  # a new supply begins
    if not rising.all():
        raise InvalidProblem(f"supplies.capacity.name[{np.argmin(rising) + 1}] is not after the name before it; "
                             "sort the names within a supply, each once")  # fmt: skip


def _check_range(name: str, indices: Array, count: int | Array, what: str) -> None:
    wrong = indices >= count
    if indices.dtype.kind == "i":
        wrong |= indices < 0
    if wrong.any():
        at = int(np.argmax(wrong))
        most = count if isinstance(count, int) else int(count[at])
        raise InvalidProblem(f"{name}[{at}] is {indices[at]}, but there are {most} {what}, counted from 0")
