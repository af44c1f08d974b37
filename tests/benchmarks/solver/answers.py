"""What a method is asked and what it answers: the one interface of everything in `methods/`.

A module there has two functions: `prepare(task)` reads the file into the form that the method works on, untimed;
`solve(prepared, task, **settings)` is timed and returns an `Answer`. `catalogue` names modules and settings.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

THREADS = 2
"""Of every method that can use them."""


class NotApplicable(Exception):
    """The method cannot state this problem; the message says why, for the table."""


@dataclass(frozen=True)
class Task:
    """One run of one method."""

    problem: Path
    """An `.npz` problem file."""
    limit: float
    """Seconds of solving after which the method should stop by itself; soon after it is killed."""
    folder: Path
    """Where the run may keep what a later run wants."""
    before: Path | None = None
    """The folder of this method's run on the problem before the demands changed."""


@dataclass(frozen=True)
class Answer:
    """What a method found."""

    replicas: Counts | None = None
    """[A]; None where a method solves only the relaxation, or found nothing."""
    value: float | None = None
    """$/h of the linear relaxation's optimum, where that is what was solved."""
    bound: float | None = None
    """$/h that the method itself says no plan undercuts. Of linear programmes: our formula D at its row prices."""
    complete: bool = True
    """It ended by itself, not at the time limit."""
    seconds: float | None = None
    """Where the method measures itself, because it runs in a process of its own; so `memory`, in bytes."""
    memory: int | None = None
    note: str = ""

    def write(self, folder: Path) -> None:
        """Hand the plan over to other processes, if there is one."""
        if self.replicas is not None:
            np.save(folder / "replicas.npy", self.replicas)


def running(folder: Path) -> Counts:
    """[A]: the plan that a run left in its folder."""
    replicas: Counts = np.load(folder / "replicas.npy")
    return replicas
