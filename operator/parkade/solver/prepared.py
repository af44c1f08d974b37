"""A problem as the kernel holds it, and the little that else is wanted of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from parkade.errors import InvalidProblem
from parkade.problem.arrays import Array, ProblemArrays
from parkade.solver import _kernel
from parkade.solver.arrays import Shape

if TYPE_CHECKING:  # its pydantic is slow to import, and large problems have no use for it
    from parkade.problem.format import Problem

MOST_DEMANDS: Final = 100
MOST_ARCS: Final = 200_000
"""Up to both, HiGHS can be expected to help within seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Checked and laid out."""

    kernel: _kernel.Problem
    shape: Shape
    short_cost: Array
    """float [C], $/h for each unit that is not covered"""
    arcs: int
    small: ProblemArrays | None
    """For HiGHS; None where it would not help."""

    @classmethod
    def of(cls, problem: "Problem | ProblemArrays") -> "Prepared":
        """Prepare a problem that is in memory.

        Raises:
            InvalidProblem: an entry breaks the format; the message names it and the remedy.
        """
        if isinstance(problem, ProblemArrays):
            return cls._of(_kernel_of(problem.to_mapping()), problem)
        from parkade.problem.flattening import flatten  # noqa: PLC0415 -- as above

        text = problem.to_json()
        try:
            kernel = _kernel.Problem(text)
        except ValueError as error:
            raise InvalidProblem(str(error)) from None
        return cls._of(kernel, flatten(problem))

    @classmethod
    def of_mapping(cls, mapping: Mapping[str, Array]) -> "Prepared":
        """Prepare named arrays that are fetched one by one, as an opened `.npz` file has them.

        Raises:
            InvalidProblem: an entry breaks the format; the message names it and the remedy.
        """
        kernel = _kernel_of(mapping)  # it checks all that is read below
        shape = Shape(mapping["demands.covers_offsets"], mapping["supplies.capacity_offsets"])
        arcs = len(mapping["arcs.demand"])
        small = ProblemArrays.from_mapping(mapping) if _is_small(shape, arcs) else None
        return cls(kernel, shape, mapping["demands.covers.short_cost"], arcs, small)

    @classmethod
    def _of(cls, kernel: _kernel.Problem, arrays: ProblemArrays) -> "Prepared":
        shape = Shape(arrays.demands_covers_offsets, arrays.supplies_capacity_offsets)
        arcs = len(arrays.arcs_demand)
        small = arrays if _is_small(shape, arcs) else None
        return cls(kernel, shape, arrays.demands_covers_short_cost, arcs, small)

    @property
    def demands(self) -> int:
        """How many there are."""
        return len(self.shape.covers) - 1

    @property
    def supplies(self) -> int:
        """How many there are."""
        return len(self.shape.resources) - 1


def _is_small(shape: Shape, arcs: int) -> bool:
    return len(shape.covers) - 1 <= MOST_DEMANDS and 0 < arcs <= MOST_ARCS


def _kernel_of(mapping: Mapping[str, Array]) -> _kernel.Problem:
    try:
        return _kernel.Problem.from_arrays(mapping)
    except ValueError as error:
        raise InvalidProblem(str(error)) from None
