"""Ours: the kernel on the arrays of the opened file, as `parkade solve` calls it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.solver.answers import THREADS, Answer, Task
from parkade.solver import DEFAULT_WORK_LIMIT, _kernel


def prepare(task: Task) -> _kernel.Problem:
    """The kernel's own form; nothing else is held in memory."""
    with np.load(task.problem) as opened:
        return _kernel.Problem.from_arrays(opened)


def solve(problem: _kernel.Problem, task: Task) -> Answer:
    """With the bound that it certifies."""
    return _answer(problem, task.limit, THREADS)


def solve_arrays(problem: Mapping[str, NDArray[Any]], limit: float, threads: int) -> Answer:
    """A problem that is in memory."""
    return _answer(_kernel.Problem.from_arrays(problem), limit, threads)


def _answer(problem: _kernel.Problem, limit: float, threads: int) -> Answer:
    found = problem.solve_arrays(DEFAULT_WORK_LIMIT, limit, threads)
    replicas = np.asarray(found["replicas"], np.int64)
    bound = found["bound"]
    assert isinstance(bound, float)
    return Answer(replicas=replicas, bound=bound, complete=found["status"] != "time_limit")
