"""Ours: `parkade solve` in a process of its own, from the state of the run before if there was one."""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.solver.answers import THREADS, Answer, Task
from parkade.solver.prepared import Prepared
from parkade.solver.solve import Terms, prove, usual_work

STATE = "state.npz"


def prepare(task: Task) -> int:
    """How many arcs there are; the command reads the rest, untimed."""
    with np.load(task.problem) as opened:
        return len(opened["arcs.demand"])


def solve(arcs: int, task: Task) -> Answer:
    """With the bound that it certifies; without a limit of its own it would search small problems until the limit."""
    solution = task.folder / "solution.npz"
    limits = ["--time-limit", str(task.limit), "--work-limit", str(usual_work(arcs))]
    warm = [] if task.before is None else ["--warm", str(task.before / STATE)]
    ran = subprocess.run(
        [sys.executable, "-m", "parkade", "solve", str(task.problem), "--json", "--threads", str(THREADS), *limits,
         *warm, "--save-state", str(task.folder / STATE), "-o", str(solution)],
        check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    report = json.loads(ran.stdout)
    with np.load(solution) as opened:
        replicas = np.asarray(opened["replicas"], np.int64)
    return Answer(
        replicas=replicas,
        bound=report["bound"],
        complete=report["status"] != "time_limit",
        seconds=report["seconds"]["solve"],
        memory=report["peakMemoryBytes"],
    )


def solve_arrays(problem: Mapping[str, NDArray[Any]], limit: float, threads: int) -> Answer:
    """A problem that is in memory, without HiGHS."""
    found = prove(Prepared.of_mapping(problem), Terms(time_limit=limit, threads=threads, exact=False)).solution
    replicas = np.asarray(found.replicas, np.int64)
    return Answer(replicas=replicas, bound=found.bound, complete=found.status != "time_limit")
