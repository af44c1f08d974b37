"""Load for as long as told, while cars come and go: memory and descriptors stay flat."""

import time
from concurrent.futures import ThreadPoolExecutor
from statistics import mean

from benchmarks.router.asking import Cell, ask
from benchmarks.router.programs import Bench, upstream
from benchmarks.router.routing import cars, placed_on_cars, placed_on_server, router, workload
from benchmarks.router.table import Must, Section

CARS = 64
LOADS = (
    (Cell("http", 16, 64), 600.0, "cars"),
    (Cell("grpc", 16, 64), 300.0, "bench"),
    (Cell("http", 220 * 1024, 16), 30.0, "bench"),
    (Cell("http", 220 * 1024, 16), 30.0, "cars"),
)
"""What is asked, requests/s, of which model."""
ROUND = 10.0
"""Seconds in which a third of the cars leaves and comes back."""
SETTLING = 0.1
"""Share at the start that is not compared."""
FLAT = 1.05
"""Mean of the last third to that of the first."""
ABOUT = (
    "{minutes:g} minutes of small and large requests over HTTP and gRPC to a server and to cars, of which a third"
    " vanishes and comes back every {round:g} s; the router's memory and descriptors each second, without the "
    "first tenth."
)
HEAD = ("", "first third", "last third", "most")


def measure(bench: Bench, minutes: float) -> Section:
    """Ask and sample."""
    seconds, samples = 60.0 * minutes, []
    with upstream(bench) as server:
        placed = [workload("bench", placed_on_server(server.said)), workload("cars", placed_on_cars())]
        with router(bench, placed) as program, ThreadPoolExecutor(len(LOADS)) as pool:
            flags = ("--workload", "bench/cars", "--model", "cars", "--service-micros", 2000)
            with cars(bench, program.said["cars"], CARS, *flags) as fleet:
                asking = [
                    pool.submit(ask, bench, program.said[cell.protocol], cell, seconds, "--rate", rate, model=model)
                    for cell, rate, model in LOADS
                ]
                begun, turn = time.monotonic(), 0
                while not all(each.done() for each in asking):
                    elapsed = time.monotonic() - begun
                    samples.append((elapsed, program.memory, program.descriptors))
                    if elapsed > (turn + 0.5) * ROUND / 2.0:
                        fleet.tell("revive" if turn % 2 else "kill 33 0")
                        if turn % 2 == 0:
                            fleet.hear()
                        turn += 1
                    time.sleep(min(1.0, seconds / 20.0))
                seen = [each.result() for each in asking]
    settled = [sample for sample in samples if sample[0] > SETTLING * seconds] or samples
    third = max(len(settled) // 3, 1)
    rows, musts = [], []
    for column, (what, unit) in enumerate((("memory MB", 1e6), ("descriptors", 1.0)), start=1):
        first = mean(sample[column] for sample in settled[:third]) / unit
        last = mean(sample[column] for sample in settled[-third:]) / unit
        rows.append((what, f"{first:,.1f}", f"{last:,.1f}", f"{max(sample[column] for sample in samples) / unit:,.1f}"))
        musts.append(Must(f"{what.split()[0]} in the last third of that in the first", last / first, FLAT))
    failures = sum(each.failures for each in seen)
    kinds = {kind: count for each in seen for kind, count in each.failures_by_kind.items()}
    musts.append(Must("failures", failures, 0))
    rows.append(("requests", f"{sum(each.requests for each in seen):,}", "", ""))
    figures = {"samples": samples, "failures": failures, "failuresByKind": kinds}
    return Section("Soak", ABOUT.format(minutes=minutes, round=ROUND), HEAD, rows, musts, figures)
