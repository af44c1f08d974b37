"""What the router itself costs, beside Envoy in the same rounds: to a server, and to cars that dialled."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from benchmarks.router.asking import Cell, Seen, ask, middle
from benchmarks.router.envoy import envoy
from benchmarks.router.programs import Bench, upstream
from benchmarks.router.routing import cars, placed_on_cars, placed_on_server, router, workload
from benchmarks.router.table import Must, Section

SMALL, LARGE = 16, 220 * 1024
CELLS = tuple(Cell(protocol, size, callers)
              for protocol in ("http", "grpc") for size in (SMALL, LARGE) for callers in (1, 64))  # fmt: skip
CARS = 64
FASTER = (("http", SMALL, 1.5), ("http", LARGE, 1.2), ("grpc", SMALL, 1.0), ("grpc", LARGE, 1.0))
"""Requests a second of Envoy's that the router must reach."""
DIRECT, OURS, ENVOY, DIALLED = "direct", "router", "Envoy", "router to cars"
ABOUT = (
    "Callers and an upstream that computes nothing on one core, the router or Envoy (one worker thread) on the "
    "other; answers as large as requests; no access log on either. Medians of {rounds} interleaved rounds of "
    "{seconds:g} s; latencies and processor time in microseconds, `added` is the median's distance to the same "
    "callers without anything between. Cars are {cars} connections of mutual TLS that were dialled. Where other "
    "work shares the cores, `core busy` is below 100 %, and requests a second of processor time say more than "
    "requests/s."
)

Results = Mapping[tuple[str, Cell], Seen]


def measure(bench: Bench, rounds: int, seconds: float, cells: Sequence[Cell] = CELLS) -> Section:
    """Interleave rounds of every target and cell."""
    runs: dict[tuple[str, Cell], list[Seen]] = {}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(upstream(bench))
        placed = [workload("bench", placed_on_server(server.said)), workload("cars", placed_on_cars())]
        ours = stack.enter_context(router(bench, placed))
        flags = ("--workload", "bench/cars", "--model", "cars")
        stack.enter_context(cars(bench, ours.said["cars"], CARS, *flags))
        targets = {DIRECT: (server, "bench"), OURS: (ours, "bench"), DIALLED: (ours, "cars")}
        if bench.envoy is not None:
            targets[ENVOY] = (stack.enter_context(envoy(bench, [server.said["http"]], server.said["grpc"])), "bench")
        for _ in range(rounds):
            for cell in cells:
                for name, (program, model) in targets.items():
                    if name != DIRECT or cell.callers == 1:
                        seen = ask(bench, program.said[cell.protocol], cell, seconds, model=model, watch=program)
                        runs.setdefault((name, cell), []).append(seen)
    results = {key: middle(seen) for key, seen in runs.items()}
    about = ABOUT.format(rounds=rounds, seconds=seconds, cars=CARS)
    head = ("", "through", "requests/s", "CPU us", "core busy", "p50", "p99", "added p50", "failures")
    figures = {f"{cell.name} {name}": asdict(seen) for (name, cell), seen in results.items()}
    return Section("The router's own cost", about, head, list(_rows(results, cells)), list(_musts(results)), figures)


def added(results: Results, name: str, cell: Cell) -> float | None:
    """Microseconds of the median beyond the direct call's; only for one caller."""
    direct, seen = results.get((DIRECT, cell)), results.get((name, cell))
    return seen.p50 - direct.p50 if direct and seen else None


def _rows(results: Results, cells: Sequence[Cell]) -> Sequence[Sequence[str]]:
    rows = []
    for cell in cells:
        for name in (DIRECT, OURS, ENVOY, DIALLED):
            if (seen := results.get((name, cell))) is None:
                continue
            more = added(results, name, cell) if name != DIRECT else None
            rows.append((cell.name, name, f"{seen.per_second:,.0f}", f"{seen.processor:.1f}", f"{seen.busy:.0%}",
                         f"{seen.p50:,.0f}", f"{seen.p99:,.0f}", "" if more is None else f"{more:,.0f}",
                         str(seen.failures)))  # fmt: skip
    return rows


def _musts(results: Results) -> Sequence[Must]:
    musts: list[Must] = []

    def ratio(what: str, mine: float | None, theirs: float | None, bound: float, *, at_least: bool = False) -> None:
        if mine is not None and theirs:
            musts.append(Must(what, mine / theirs, bound, at_least))

    def rate(name: str, cell: Cell) -> float | None:
        return seen.per_second if (seen := results.get((name, cell))) else None

    def processor(name: str, cell: Cell) -> float | None:
        return seen.processor if (seen := results.get((name, cell))) else None

    for protocol, size, bound in FASTER:
        cell = Cell(protocol, size, 64)
        ratio(f"{cell.name}: requests/s, of Envoy's", rate(OURS, cell), rate(ENVOY, cell), bound, at_least=True)
        ratio(f"{cell.name}: requests a second of processor time, of Envoy's",
              processor(ENVOY, cell), processor(OURS, cell), bound, at_least=True)  # fmt: skip
    alone = Cell("http", SMALL, 1)
    ratio(f"{alone.name}: added p50 of Envoy's", added(results, OURS, alone), added(results, ENVOY, alone), 0.75)
    ratio(f"{alone.name}: added p50 to a car of that to a server",
          added(results, DIALLED, alone), added(results, OURS, alone), 2.0)  # fmt: skip
    large = Cell("http", LARGE, 64)
    ratio(f"{large.name}: CPU a request to a car of Envoy's to a server",
          processor(DIALLED, large), processor(ENVOY, large), 1.5)  # fmt: skip
    musts.append(Must("failures", sum(seen.failures for seen in results.values()), 0))
    return musts
