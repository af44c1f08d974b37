"""What spans cost: the router without them, with one trace in a hundred, and with all, in the same rounds."""

import contextlib
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from benchmarks.router.asking import Cell, Seen, ask, middle
from benchmarks.router.programs import Bench, Program, upstream
from benchmarks.router.routing import placed_on_server, router, workload
from benchmarks.router.table import Must, Section

CELLS = (Cell("http", 16, 64), Cell("grpc", 16, 64), Cell("http", 16, 1))
OFF, RARE, ALL = "off", "1 %", "100 %"
PERCENT: Mapping[str, int | None] = {OFF: None, RARE: 1, ALL: 100}
ABOUT = (
    "Three routers on one core, one after the other in each of {rounds} rounds of {seconds:g} s; on the other callers, "
    "the upstream and a collector that keeps nothing. Processor time is the router's, its sending of spans included; "
    "medians, in microseconds. A request at 100 % is two spans. Spans dropped: {rare:,} at 1 %, {all:,} at 100 %."
)


def measure(bench: Bench, rounds: int, seconds: float, cells: Sequence[Cell] = CELLS) -> Section:
    """Interleave rounds of every setting and cell."""
    runs: dict[tuple[str, Cell], list[Seen]] = {}
    with contextlib.ExitStack() as stack:
        server, collector = stack.enter_context(upstream(bench)), stack.enter_context(upstream(bench))
        placed = [workload("bench", placed_on_server(server.said))]
        routers = {
            name: stack.enter_context(router(bench, placed, *flags(collector, percent), name=f"router-{index}"))
            for index, (name, percent) in enumerate(PERCENT.items())
        }
        for _ in range(rounds):
            for cell in cells:
                for name, program in routers.items():
                    seen = ask(bench, program.said[cell.protocol], cell, seconds, watch=program)
                    runs.setdefault((name, cell), []).append(seen)
        dropped = {name: lost(program) for name, program in routers.items()}
    results = {key: middle(seen) for key, seen in runs.items()}
    rows = [
        (cell.name, name, f"{seen.per_second:,.0f}", f"{seen.processor:.1f}",
         f"{seen.processor / results[OFF, cell].processor:.2f}", f"{seen.p50:,.0f}", f"{seen.p99:,.0f}",
         str(seen.failures))
        for (name, cell), seen in sorted(results.items(), key=lambda item: cells.index(item[0][1]))
    ]  # fmt: skip
    musts = [Must("failures", sum(seen.failures for seen in results.values()), 0)]
    figures = {f"{cell.name} {name}": asdict(seen) for (name, cell), seen in results.items()}
    head = ("", "traces", "requests/s", "CPU us", "of off", "p50", "p99", "failures")
    about = ABOUT.format(rounds=rounds, seconds=seconds, rare=dropped[RARE], all=dropped[ALL])
    return Section("What spans cost", about, head, rows, musts, figures)


def flags(collector: Program, percent: int | None) -> tuple[object, ...]:
    """Of a router that sends its spans there."""
    if percent is None:
        return ()
    return ("--otlp-endpoint", f"http://{collector.said['http']}", "--trace-percent", percent)


def lost(program: Program) -> int:
    """Spans that never reached the collector."""
    with urllib.request.urlopen(f"http://{program.said['metrics']}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(int(line.split()[-1]) for line in lines if line.startswith("parkade_router_spans_dropped_total{"))
