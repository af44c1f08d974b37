"""The node's own cgroup in every hierarchy of this machine, and the processes in it."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
PATIENCE_SECONDS: Final = 20.0


def create(name: str) -> None:
    """Make the cgroup, with the cores and memory of this machine."""
    if _is_unified():
        controllers = (ROOT / "cgroup.controllers").read_text().split()
        (ROOT / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in controllers))
        (ROOT / name).mkdir(exist_ok=True)
        return
    for hierarchy in _hierarchies():
        own = hierarchy / name
        own.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (own / setting).exists():
                (own / setting).write_text((hierarchy / setting).read_text())


def end_all(name: str, mounts: str) -> None:
    """Kill every process in the cgroup or in the mount namespace `mounts`, then remove the cgroup.

    Raises:
        TimeoutError: some process does not end.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while members := [pid for pid in _processes() if _belongs(pid, name, mounts)]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {members} of the node {name} do not end")
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    for hierarchy in [ROOT] if _is_unified() else _hierarchies():
        _remove(hierarchy / name, deadline)


def _remove(folder: Path, deadline: float) -> None:
    while folder.exists():
        for below in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                below.rmdir()
        with contextlib.suppress(OSError):  # a process that ended a moment ago may still be counted
            folder.rmdir()
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"the cgroup {folder} cannot be removed")
        time.sleep(0.05)


def _belongs(pid: int, name: str, mounts: str) -> bool:
    with contextlib.suppress(OSError):
        if str(Path(f"/proc/{pid}/ns/mnt").readlink()) == mounts:
            return True
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        return any(
            f"/{name}" == path or path.startswith(f"/{name}/") for path in (line.split(":", 2)[2] for line in lines)
        )
    return False


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _is_unified() -> bool:
    return (ROOT / "cgroup.controllers").exists()


def _hierarchies() -> list[Path]:
    return [path for path in ROOT.iterdir() if path.is_dir() and not path.is_symlink()]
