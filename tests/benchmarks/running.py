"""A benchmark as its user asks for it: in a process of its own, with its figures in a file."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def results_of(root: Path, room: str, *flags: object, file: Path, **environment: str) -> dict[str, Any]:
    """What `python -m benchmarks.<room>` writes to a file; `root` is the checkout."""
    paths = [*(str(root / source) for source in ("tests", "operator")), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{room}", *map(str, flags), "--json", file],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(file.read_text())
    return found
