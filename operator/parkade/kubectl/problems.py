"""What is not as it should be: each with its cause and the next command to type."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from parkade.api import Condition
from parkade.kubectl.words import printable


class Level(StrEnum):
    """How much of a hurry there is; the order of the members is that of a screen."""

    CRITICAL = "Critical"
    """Requests go unanswered, or nobody replaces what fails: now."""
    WARNING = "Warning"
    """Worse than wanted, or about to be: today."""
    NOTICE = "Notice"
    """Somebody wanted it so, or it can wait."""


ORDER: Final = tuple(Level)
WORDS: Final = {
    "InferenceWorkload": "workload",
    "VehicleNodePool": "vehicle pool",
    "VehicleCell": "cell",
    "TritonPool": "Triton pool",
    "Region": "region",
    "GridEvent": "grid event",
}
"""What a person calls a kind."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it should be."""

    level: Level
    kind: str
    """Of what: operator, carlet, router, or one of `WORDS`."""
    name: str
    """`namespace/name`, or `name`; empty of what there is one of."""
    says: str
    """What is wrong, as the end of a sentence that begins with the name."""
    reason: str = ""
    """One word of `api.Reason`, or of Kubernetes; empty where there is none."""
    message: str = ""
    """The cause, as a sentence."""
    next: str = ""
    """The command to type next."""
    others: tuple[str, ...] = ()
    """Names of others of whom the same holds."""


def worst_first(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By level; what came first of a level stays first."""
    return tuple(sorted(problems, key=lambda problem: ORDER.index(problem.level)))


def grouped(problems: Iterable[Problem], most: int = 2) -> tuple[Problem, ...]:
    """Say once what holds alike of more than `most`, so that a hundred workloads do not hide what else is wrong."""
    groups: dict[tuple[str, ...], list[Problem]] = {}
    for problem in problems:
        key = (problem.level, problem.kind, problem.says, problem.reason)
        groups.setdefault(key if problem.name else (*key, str(len(groups))), []).append(problem)
    return tuple(_merged(groups.values(), most))


def _merged(groups: Iterable[list[Problem]], most: int) -> Iterator[Problem]:
    for alike in groups:
        if len(alike) <= most:
            yield from alike
        else:
            yield replace(alike[0], others=tuple(problem.name for problem in alike[1:]))


def found(conditions: Iterable[Condition], kind: str) -> Condition:
    """A condition by its type; Unknown where nobody wrote it."""
    return next((entry for entry in conditions if entry.type == kind), Condition(type=kind))


def cause(condition: Condition) -> tuple[str, str]:
    """Reason and sentence of a condition."""
    return condition.reason, printable(condition.message)
