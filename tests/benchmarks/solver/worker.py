"""One run of one method, alone in its process: `python -m benchmarks.solver.worker FOLDER`, as `FOLDER/task.json` says.

Writes `begun` when the reading is over, then `replicas.npy` if there is a plan, and `answer.json`.
"""

import importlib
import json
import sys
import time
from pathlib import Path

from benchmarks.solver.answers import NotApplicable, Task
from benchmarks.solver.catalogue import METHODS
from parkade.solver.command import peak_memory


def run(folder: Path) -> dict[str, object]:
    """The answer's scalars; its plan is written."""
    asked = json.loads((folder / "task.json").read_text())
    method = METHODS[asked["method"]]
    before = asked["before"]
    task = Task(Path(asked["problem"]), asked["limit"], folder, Path(before) if before else None)
    try:
        module = importlib.import_module(f"benchmarks.solver.methods.{method.module}")
    except ModuleNotFoundError as error:
        return {"outcome": "not installed", "note": f"{error.name} is not installed"}
    prepared = module.prepare(task)
    (folder / "begun").touch()
    began = time.perf_counter()
    try:
        answer = module.solve(prepared, task, **method.settings)
    except NotApplicable as reason:
        return {"outcome": "not applicable", "note": str(reason)}
    seconds = time.perf_counter() - began
    answer.write(folder)
    return {
        "outcome": "done" if answer.complete else "cut short",
        "value": answer.value,
        "bound": answer.bound,
        "seconds": seconds if answer.seconds is None else answer.seconds,
        "memory": peak_memory() if answer.memory is None else answer.memory,
        "note": answer.note,
    }


if __name__ == "__main__":
    place = Path(sys.argv[1])
    found = run(place)
    (place / "answer.json").write_text(json.dumps(found))
