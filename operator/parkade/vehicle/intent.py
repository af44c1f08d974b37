"""What should run in the car: the plan's wish, the owner's contract and the computer's memory, decided without I/O."""

from collections.abc import Iterable

from parkade.vehicle.reasons import Reason, Refusal
from parkade.vehicle.wire import Assignment

Key = tuple[str, str]
"""Workload and digest."""

FORMATS = frozenset({"onnx"})
"""Named formats only; none of them can carry code of its own."""


def admit(assignments: Iterable[Assignment], car: Refusal | None, memory: int) -> dict[Key, Refusal | None]:
    """Return for each assignment None when the car takes it, or why it does not.

    A refusal of the car as a whole refuses everything. Memory is given in the order of the desired set.
    """
    verdicts: dict[Key, Refusal | None] = {}
    free = memory
    for assignment in assignments:
        refusal = car
        if refusal is None and assignment.format not in FORMATS:
            refusal = Refusal(
                Reason.FormatNotSupported,
                f"cars load {', '.join(sorted(FORMATS))} and not {assignment.format!r}; add an artifact of that format",
            )
        if refusal is None and need(assignment) > free:
            refusal = Refusal(
                Reason.NotEnoughMemory,
                f"it needs {need(assignment)} bytes and {free} of the car's {memory} are free; place it elsewhere",
            )
        if refusal is None:
            free -= need(assignment)
        verdicts[assignment.key] = refusal
    return verdicts


def need(assignment: Assignment) -> int:
    """Return the bytes of memory to reserve: what was declared, and never less than the artifact itself."""
    return max(assignment.memory, assignment.size)
