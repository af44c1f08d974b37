"""What an idle connection of a car costs the router."""

from benchmarks.router.asking import Cell, ask
from benchmarks.router.programs import Bench, allow_descriptors
from benchmarks.router.routing import cars, placed_on_cars, router, workload
from benchmarks.router.table import Must, Section

IDENTITIES = 64
SPARE = 500
"""Descriptors for everything else."""
MOST = 60.0
"""Kilobytes of the router's resident memory for each idle connection."""
ABOUT = (
    "Cars that dialled over mutual TLS and wait, {identities} identities in turn; growth of the router's resident"
    " memory over that of the router without cars. `used` is after each connection answered some small requests."
)
HEAD = ("connections", "router's memory MB", "kB each", "kB each, used", "descriptors", "failures")


def measure(bench: Bench, connections: int, seconds: float) -> Section:
    """Connect, look, ask, look again."""
    count = min(connections, allow_descriptors(connections + SPARE) - SPARE)
    with router(bench, [workload("cars", placed_on_cars())], "--car-connections", count + SPARE) as program:
        before = program.memory
        flags = ("--workload", "bench/cars", "--model", "cars")
        with cars(bench, program.said["cars"], count, *flags, identities=IDENTITIES):
            idle = program.memory
            seen = ask(bench, program.said["http"], Cell("http", 16, 64), seconds, model="cars")
            used, descriptors = program.memory, program.descriptors
    each, after = ((memory - before) / count / 1e3 for memory in (idle, used))
    row = (f"{count:,}", f"{idle / 1e6:,.0f}", f"{each:.1f}", f"{after:.1f}", f"{descriptors:,}", str(seen.failures))
    musts = [
        Must("kB of the router's memory for each idle connection", each, MOST),
        Must("the same after use", after, MOST),
        Must("failures", seen.failures, 0),
    ]
    figures = {"connections": count, "bytesBefore": before, "bytesIdle": idle, "bytesUsed": used,
               "descriptors": descriptors, "requests": seen.requests}  # fmt: skip
    return Section("Idle connections of cars", ABOUT.format(identities=IDENTITIES), HEAD, [row], musts, figures)
