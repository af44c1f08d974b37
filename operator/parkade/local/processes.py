"""Processes that outlive the command that started them, each stopped by its own id and start time."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import psutil

from parkade.errors import LocalPlaneError

GRACE_SECONDS: Final = 10.0
"""Time between SIGTERM and SIGKILL; kube-apiserver drains within it."""


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """How to start one process: argument vector and what its environment has beyond the caller's own."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


class ProcessTable:
    """Named processes recorded in one JSON file, so that any later command can find, stop or restart them."""

    def __init__(self, file: Path, logs: Path) -> None:
        self._file = file
        self._logs = logs
        logs.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.write_text("{}")

    def start(self, name: str, spec: LaunchSpec) -> int:
        """Start a process detached, its output appended to `logs/<name>.log`; return its id.

        Raises:
            LocalPlaneError: one of that name runs already, or the program cannot be started.
        """
        if self.is_running(name):
            raise LocalPlaneError(f"{name} runs already; stop it first with `parkade down`")
        with self.log(name).open("ab") as log:
            try:
                process = subprocess.Popen(
                    spec.argv,
                    env={**os.environ, **spec.env},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise LocalPlaneError(f"{name} cannot be started: {error}") from error
        process.returncode = 0  # it outlives this command on purpose; Popen would warn when it is collected
        started = _start_ticks(process.pid)
        self._record(name, {"pid": process.pid, "started": started, "spec": asdict(spec)})
        return process.pid

    def restart(self, name: str) -> int:
        """Start a recorded process again exactly as it was started before."""
        entry = self._entries().get(name)
        if entry is None:
            raise LocalPlaneError(f"{name} was never started here; known are {', '.join(self.names())}")
        self.stop(name, forget=False)
        spec = LaunchSpec(tuple(entry["spec"]["argv"]), entry["spec"]["env"])
        return self.start(name, spec)

    def kill(self, name: str) -> None:
        """Kill at once, as a crash would (SIGKILL), and keep the record for `restart`."""
        process = self.process(name)
        if process is not None:
            process.kill()
            _await_end(process)

    def freeze(self, name: str) -> None:
        """Let a process do nothing until `thaw` (SIGSTOP): to others a lost link, where nothing comes and nothing ends.

        Raises:
            LocalPlaneError: it does not run.
        """
        self._running(name).suspend()

    def thaw(self, name: str) -> None:
        """Let a frozen process go on where it was.

        Raises:
            LocalPlaneError: it does not run.
        """
        self._running(name).resume()

    def stop(self, name: str, *, forget: bool = True) -> None:
        """Ask a process to end, then make it, and end what it left behind; nothing happens when nothing runs."""
        process = self.process(name)
        if process is not None:
            process.terminate()
            process.resume()  # a frozen one would not hear it
            try:
                _await_end(process)
            except psutil.TimeoutExpired:
                process.kill()
                _await_end(process)
        for orphan in self._orphans(name):
            orphan.kill()
        if forget:
            self._record(name, None)

    def is_running(self, name: str) -> bool:
        """Tell whether the recorded process is alive (not merely its id taken by another)."""
        return self.process(name) is not None

    def names(self) -> list[str]:
        """All recorded names in the order they were first started."""
        return list(self._entries())

    def log(self, name: str) -> Path:
        """The file with a process's output."""
        return self._logs / f"{name}.log"

    def log_tail(self, name: str, lines: int = 12) -> str:
        """The last lines a process wrote, for error messages."""
        try:
            return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _running(self, name: str) -> psutil.Process:
        process = self.process(name)
        if process is None:
            raise LocalPlaneError(f"{name} does not run; its log says:\n{self.log_tail(name)}")
        return process

    def process(self, name: str) -> psutil.Process | None:
        """The recorded process, while it is alive."""
        entry = self._entries().get(name)
        if entry is None:
            return None
        try:
            process = psutil.Process(entry["pid"])
            same = _start_ticks(process.pid) == entry["started"]
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (psutil.NoSuchProcess, FileNotFoundError):
            return None

    def _orphans(self, name: str) -> list[psutil.Process]:
        """Children of a process that ended, such as the backends of a killed Triton: they are still in its session."""
        entry = self._entries().get(name)
        if entry is None or psutil.pid_exists(entry["pid"]):
            return []  # a session's number is not given to a new process while the session has members
        return [process for process in psutil.process_iter() if _session(process.pid) == entry["pid"]]

    def _entries(self) -> dict[str, dict]:  # type: ignore[type-arg]  # a JSON object
        entries: dict[str, dict] = json.loads(self._file.read_text())  # type: ignore[type-arg]
        return entries

    def _record(self, name: str, entry: dict | None) -> None:  # type: ignore[type-arg]
        entries = self._entries()
        if entry is None:
            entries.pop(name, None)
        else:
            entries[name] = entry
        temporary = self._file.with_suffix(".tmp")
        temporary.write_text(json.dumps(entries, indent=1))
        temporary.replace(self._file)


def _await_end(process: psutil.Process) -> None:
    try:
        process.wait(timeout=GRACE_SECONDS)
    except psutil.NoSuchProcess:
        return


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot: never shifts, as the wall clock of psutil's does."""
    fields_after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields_after_name[19])  # field 22 of proc(5), counted from field 3
