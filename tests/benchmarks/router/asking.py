"""One run of callers and what they saw."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.router.programs import Bench, Program, pinned

GRACE = 120.0
"""Seconds after the asking in which the last answers must be there."""


@dataclass(frozen=True)
class Cell:
    """What is asked and by how many."""

    protocol: str
    size: int
    """Bytes of a request's body; the answer is as large."""
    callers: int

    @property
    def name(self) -> str:
        """For tables."""
        size = f"{self.size} B" if self.size < 1024 else f"{self.size // 1024} KB"
        return f"{'HTTP' if self.protocol == 'http' else 'gRPC'} {size} c={self.callers}"


@dataclass(frozen=True)
class Seen:
    """One run, or the medians of several."""

    per_second: float
    p50: float
    """Microseconds, as all latencies here."""
    p99: float
    processor: float
    """Microseconds of the watched process a request."""
    busy: float
    """Share of its core that the watched process used."""
    failures: int
    requests: int
    failures_by_kind: dict[str, int]
    callers: float
    """Share of their core that the callers used."""


def ask(bench: Bench, address: str | Sequence[str], cell: Cell, seconds: float, *flags: object, model: str = "bench",
        watch: Program | None = None) -> Seen:  # fmt: skip
    """Run callers against an address, or dealt out to several."""
    targets = [f"--target={each}" for each in ([address] if isinstance(address, str) else address)]
    command = [
        bench.loadbench, "load", *targets, "--protocol", cell.protocol, "--bytes", cell.size,
        "--callers", cell.callers, "--seconds", seconds, "--model", model, *flags,
    ]  # fmt: skip
    if watch is not None:
        command += ["--watch", watch.process.pid]
    done = subprocess.run(pinned(command, bench.others), stdout=subprocess.PIPE, check=True, timeout=seconds + GRACE)
    return _seen(json.loads(done.stdout))


def _seen(report: dict[str, object]) -> Seen:
    number = {name: value for name, value in report.items() if isinstance(value, int | float)}
    used = number.get("watchedProcessorSeconds", 0.0)
    kinds = report["failuresByKind"]
    assert isinstance(kinds, dict)
    return Seen(
        per_second=number["perSecond"],
        p50=number["p50Micros"],
        p99=number["p99Micros"],
        processor=1e6 * used / max(number["requests"], 1),
        busy=used / max(number["wallSeconds"], 1e-9),
        failures=int(number["failures"]),
        requests=int(number["requests"]),
        failures_by_kind=kinds,
        callers=number.get("processorSeconds", 0.0) / max(number["wallSeconds"], 1e-9),
    )


def middle(runs: Sequence[Seen]) -> Seen:
    """Medians of each figure; failures are added."""
    kinds = sorted({kind for run in runs for kind in run.failures_by_kind})
    return Seen(
        per_second=median(run.per_second for run in runs),
        p50=median(run.p50 for run in runs),
        p99=median(run.p99 for run in runs),
        processor=median(run.processor for run in runs),
        busy=median(run.busy for run in runs),
        failures=sum(run.failures for run in runs),
        requests=sum(run.requests for run in runs),
        failures_by_kind={kind: sum(run.failures_by_kind.get(kind, 0) for run in runs) for kind in kinds},
        callers=median(run.callers for run in runs),
    )
