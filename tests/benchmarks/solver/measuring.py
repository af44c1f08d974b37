"""Running a method in a process of its own, under a limit of seconds and of memory."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.solver.answers import Counts, Task, running
from benchmarks.solver.catalogue import METHODS

ROOT = Path(__file__).parents[3]
READING = 300.0
"""Seconds for imports and reading, which are not what is measured."""
GRACE = 1.5
"""Times the limit, at which a method that has not stopped by itself is killed."""
POLL = 0.05


@dataclass(frozen=True)
class Run:
    """What came of it."""

    outcome: str
    """`done`, `cut short` (at the limit, with or without a plan), `over limit` and `over memory` (killed),
    `not applicable`, `not installed`, `not run`, `failed`."""
    note: str = ""
    seconds: float | None = None
    memory: int | None = None
    """Bytes at most, with the problem's arrays."""
    value: float | None = None
    bound: float | None = None
    replicas: Counts | None = None


def run(name: str, task: Task, *, most_memory: int) -> Run:
    """Run a method on a task; `most_memory` in bytes."""
    before = str(task.before) if task.before else None
    asked = {"method": name, "problem": str(task.problem), "limit": task.limit, "before": before}
    task.folder.mkdir(parents=True)
    (task.folder / "task.json").write_text(json.dumps(asked))
    with (task.folder / "errors").open("wb") as errors:
        process = psutil.Popen(
            [*_python(METHODS[name].packages), "-m", "benchmarks.solver.worker", str(task.folder)],
            env=_environment(), cwd=task.folder, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
        )  # fmt: skip
        killed, peak = _watch(process, task, most_memory)
    if killed is not None:
        return killed
    answer = task.folder / "answer.json"
    if process.wait() != 0 or not answer.exists():
        return Run("failed", _last_line(task.folder / "errors"))
    found: Mapping[str, Any] = json.loads(answer.read_text())
    if found["outcome"] in ("not applicable", "not installed"):
        return Run(found["outcome"], found["note"])
    replicas = running(task.folder) if (task.folder / "replicas.npy").exists() else None
    memory = max(found["memory"], peak) if METHODS[name].packages else found["memory"]
    return Run(found["outcome"], found["note"], found["seconds"], memory, found["value"], found["bound"], replicas)


def _python(packages: tuple[str, ...]) -> list[str]:
    """This Python, or one with packages that ours cannot have beside its own."""
    if not packages:
        return [sys.executable]
    apart = ["--isolated", "--no-project", "--python", "3.11"]
    return ["uv", "run", *apart, *(part for package in packages for part in ("--with", package)), "python"]


def _environment() -> dict[str, str]:
    paths = f"{ROOT / 'operator'}{os.pathsep}{ROOT / 'tests'}"
    # Ray would start its workers by the same `uv run`, which fails without a project.
    return os.environ | {"PYTHONPATH": paths, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}


def _watch(process: psutil.Popen, task: Task, most_memory: int) -> tuple[Run | None, int]:
    """Wait for the end, or kill it and what it started; with the most bytes seen of all of them together."""
    began, peak = None, 0
    started = time.monotonic()
    while process.poll() is None:
        now = time.monotonic()
        if began is None and (task.folder / "begun").exists():
            began = now
        late = now - started > READING if began is None else now - began > GRACE * task.limit + 1.0
        held = _held(process)
        peak = max(peak, held)
        if late or held > most_memory:
            _kill(process)
            if held > most_memory:
                return Run("over memory", f"more than {most_memory / 2**30:.0f} GiB", memory=peak), peak
            return Run("over limit", f"no answer in {task.limit:g} s", memory=peak), peak
        time.sleep(POLL)
    return None, peak


def _family(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def _held(process: psutil.Process) -> int:
    total = 0
    for member in _family(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += member.memory_info().rss
    return total


def _kill(process: psutil.Popen) -> None:
    family = _family(process)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(family, timeout=10)


def _last_line(file: Path) -> str:
    lines = file.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "the process ended without an answer"
