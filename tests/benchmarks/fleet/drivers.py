"""`carlet drive` as processes, each with its share of the vehicles."""

import contextlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from benchmarks.fleet.places import CLIENTS_PER_SERVER, FLEET, FRUGAL
from parkade.local import binaries
from parkade.local.plane import Plane

STOPPING = 20.0
"""Seconds from the end of standard input to SIGKILL."""


class Drivers:
    """All drivers as one: commands go to each, reports are added up."""

    def __init__(self, plane: Plane, *flags: str, vehicles: int, fleet: str = FLEET) -> None:
        self.plane, self.flags, self.vehicles, self.fleet = plane, flags, vehicles, fleet
        self.processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        plane, program = self.plane, binaries.carlet(self.plane.say)
        count = -(-self.vehicles // CLIENTS_PER_SERVER)
        share = -(-self.vehicles // count)
        for number in range(count):
            first = number * share
            command = [
                program, "drive", "--dir", plane.fleet, "--nats", plane.nats_url,
                "--ca", plane.authority.certificate, "--fleet", self.fleet, "--first", first,
                "--vehicles", min(share, self.vehicles - first), "--commands", *self.flags,
            ]  # fmt: skip
            with (plane.directory / "logs" / f"drive-{self.fleet}-{number}.log").open("ab") as log:
                process = subprocess.Popen(
                    [str(word) for word in command],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env={**os.environ, **FRUGAL},
                )
            self.processes.append(process)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        for process in self.processes:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        for process in self.processes:
            try:
                process.wait(STOPPING)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def tell(self, **command: object) -> None:
        """Give every driver a command."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()

    def report(self) -> dict[str, Any]:
        """What all drivers say, added up; times are the latest. What is since the last is by each one's own clock."""
        self.tell(do="report")
        reports = [self._hear(process) for process in self.processes]
        return added(reports) | {
            f"since{name[0].upper()}{name[1:]}": min(each["seconds"] - each[name] for each in reports)
            for name in ("lastConnected", "lastOrder")
        }

    def _hear(self, process: "subprocess.Popen[str]") -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"a driver ended with {process.wait()}; its log is in {self.plane.directory}/logs")
        found: dict[str, Any] = json.loads(line)
        return found


LATEST = ("seconds", "lastConnected", "lastOrder")


def added(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of reports."""
    total: dict[str, Any] = {}
    for report in reports:
        for name, value in report.items():
            if isinstance(value, dict):
                cells = total.setdefault(name, {})
                for cell, vehicles in value.items():
                    cells[cell] = cells.get(cell, 0) + vehicles
            elif isinstance(value, str):
                total[name] = value
            else:
                total[name] = max(total.get(name, 0), value) if name in LATEST else total.get(name, 0) + value
    return total
