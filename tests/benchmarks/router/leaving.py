"""Cars behind a slow link that leave under load, and large requests over a link that loses segments.

Two routers are asked alike; one keeps the queue, so that the other passes half of the requests on. The latency
formula is that of the plan (`parkade.problem.latency`): network + wait + service + retry as distributions, the 99th
percentile of their sum. `calm_p99` and `lossy_p99` say what goes into it.
"""

import contextlib
import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from benchmarks.router.asking import Cell, Seen, ask
from benchmarks.router.programs import Bench, Program, relay, require_descriptors
from benchmarks.router.routing import cars, metric, placed_on_cars, standing, two_routers, workload
from benchmarks.router.table import Must, Section
from parkade.problem.latency import Path, Service, percentile_of
from parkade.units import SECONDS_PER_HOUR

CARS, SLOTS = 64, 8
DELAY = 0.03
"""Seconds each way."""
INFERENCE = 0.005
"""Seconds."""
KILLED, WITHIN = 30, 10.0
"""Percent of the cars, and seconds."""
LOSS = 0.01
STALL = 0.2 + 2 * DELAY
"""Seconds that a lost segment holds up its direction: the least retransmission timeout of Linux and a round trip."""
SEGMENT = 1448
SMALL, LARGE, ANSWER = 16, 180 * 1024, 4096
SMALL_RATE, LARGE_RATE = 2000.0, 150.0
"""Requests/s: 25 % of the slots, 36 % of those left after the departures; and 12 % with the stalls.

Two cores can do this with routers, relay, cars and callers on them, and slots that other work delays are not missed at
once.
"""
WIDER = 1.15
"""Of the formula's p99."""
CALLERS = 2048
DESCRIPTORS = 2 * CALLERS
"""Of a process: a caller's connection each, two for each slot in the relay, and room."""
ABOUT = (
    "Two routers with a queue at one of them; {cars} cars with {slots} slots each dial it through a relay of "
    "{delay:g} ms each way. Callers ask both routers alike. An inference takes exactly {inference:g} ms, requests "
    "arrive as a Poisson process. While {small:,} requests of 16 B come at {small_rate:,.0f}/s, {killed} % of the "
    "cars vanish within {within:g} s and stay away. The {large:,} requests of 180 KiB come at {large_rate:,.0f}/s "
    "with {loss:.0%} of the segments lost. Nothing above TCP can lose a segment: for each of 1,448 bytes that it "
    "draws as lost, one after another, the relay holds up that direction of that connection for {stall:g} ms, which "
    "is harsher than TCP. Milliseconds from when a request was due. One core has both routers, another the callers, "
    "cars and relay; where other work shares them, it delays."
)
HEAD = ("", "requests", "failures", "passed on", "retries", "p50", "p99", "formula's p99", "routers' core busy",
        "other core busy", "standing at the end")  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """One run and what the formula says of it."""

    seen: Seen
    expected: float
    """Seconds."""
    forwarded: float
    """Share of the requests that the router without the queue passed on."""
    retries: float
    standing: int
    routers: float
    """Share of their core that they used."""
    others: float
    """The same of callers, cars and relay."""


def measure(bench: Bench, small: int, large: int) -> Section:
    """Both runs."""
    require_descriptors(DESCRIPTORS)
    left = run(bench, Cell("http", SMALL, CALLERS), small, SMALL_RATE, kill=True)
    lossy = run(bench, Cell("http", LARGE, CALLERS), large, LARGE_RATE, kill=False)
    outcomes = {"16 B, cars leave": left, "180 KiB, 1 % loss": lossy}
    about = ABOUT.format(cars=CARS, slots=SLOTS, delay=1e3 * DELAY, inference=1e3 * INFERENCE, small=small, large=large,
                         small_rate=SMALL_RATE, large_rate=LARGE_RATE, killed=KILLED, within=WITHIN, loss=LOSS,
                         stall=1e3 * STALL)  # fmt: skip
    rows = [_row(name, each) for name, each in outcomes.items()]
    musts = []
    for name, each in outcomes.items():
        musts.append(Must(f"{name}: failures", each.seen.failures, 0))
        musts.append(Must(f"{name}: p99 of the formula's", each.seen.p99 / 1e6 / each.expected, WIDER))
    figures = {name: asdict(each) for name, each in outcomes.items()}
    return Section("Cars that leave, links that lose", about, HEAD, rows, musts, figures)


def _row(name: str, outcome: Outcome) -> tuple[str, ...]:
    seen, expected = outcome.seen, f"{1e3 * outcome.expected:,.1f}"
    return (name, f"{seen.requests:,}", str(seen.failures), f"{outcome.forwarded:.0%}", f"{outcome.retries:,.0f}",
            f"{seen.p50 / 1e3:,.1f}", f"{seen.p99 / 1e3:,.1f}", expected, f"{outcome.routers:.0%}",
            f"{outcome.others:.0%}", f"{outcome.standing:,}")  # fmt: skip


def run(bench: Bench, cell: Cell, requests: int, rate: float, *, kill: bool) -> Outcome:
    """Open-loop load over cars behind the relay."""
    seconds, answer = requests / rate, SMALL if kill else ANSWER
    service = ("--service-micros", round(1e6 * INFERENCE), "--answer-bytes", answer, "--slots", SLOTS)
    with (
        two_routers(bench, workload("bench", placed_on_cars())) as (owner, other),
        relay(bench, owner.said["cars"], DELAY, 0.0 if kill else LOSS) as link,
        cars(bench, link.said["address"], CARS, *service, connections=CARS * SLOTS) as fleet,
        _leaving(fleet, min(seconds / 3.0, WITHIN)) if kill else contextlib.nullcontext(),
    ):
        flags = ("--rate", rate, "--requests", requests, "--warmup", 0)
        begun, before = time.monotonic(), [_used(each) for each in ((owner, other), (link, fleet))]
        seen = ask(bench, [each.said["http"] for each in (owner, other)], cell, 2.0 * seconds + 10.0, *flags)
        wall, after = time.monotonic() - begun, [_used(each) for each in ((owner, other), (link, fleet))]
        routers, others = ((late - early) / wall for early, late in zip(before, after, strict=True))
        return Outcome(
            seen,
            calm_p99(seconds, rate) if kill else lossy_p99(rate, cell.size),
            metric(other, "forwarded_total", outcome="answered") / max(seen.requests, 1),
            metric(owner, "retries_total") + metric(other, "retries_total"),
            standing(fleet),
            routers,
            others + seen.callers,
        )


def _used(programs: Sequence[Program]) -> float:
    return sum(program.processor for program in programs)


@contextlib.contextmanager
def _leaving(fleet: Program, seconds: float) -> Iterator[None]:
    """Some cars vanish, `seconds` from now and within as many."""

    def leave() -> None:
        time.sleep(seconds)
        fleet.tell(f"kill {KILLED} {seconds}")
        fleet.hear()

    thread = threading.Thread(target=leave)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def calm_p99(seconds: float, rate: float) -> float:
    """Seconds, by the formula, over `seconds` of which cars leave at the start.

    A slot is busy from the router's sending until the answer is back: its service is network and inference, both exact.
    Slots that depart count as missing from the start, and each departure costs a retry.
    """
    base = 2.0 * DELAY + INFERENCE
    left = (CARS - CARS * KILLED // 100) * SLOTS
    departures = KILLED / 100 / seconds * SECONDS_PER_HOUR
    path = Path(Service(base, 0.0), (), departures)
    return percentile_of([(1.0, path, left, rate * base / left)], 99.0, 2.0 * base)


def lossy_p99(rate: float, size: int) -> float:
    """Seconds, by the formula, where nothing departs.

    The inference is exact. The network's round trip has the p50 and p99 that the relay gives it: its delay both ways,
    and a stall for each segment lost, whose number is binomial.
    """
    segments = math.ceil(size / SEGMENT) + math.ceil(ANSWER / SEGMENT)
    slots, mean = CARS * SLOTS, 2.0 * DELAY + INFERENCE + STALL * LOSS * segments
    middle, tail = (2.0 * DELAY + STALL * _binomial_quantile(segments, LOSS, quantile) for quantile in (0.5, 0.99))
    path = Path(Service(INFERENCE, 0.0), ((middle, tail),))
    return percentile_of([(1.0, path, slots, rate * mean / slots)], 99.0, 2.0 * tail)


def _binomial_quantile(draws: int, share: float, quantile: float) -> int:
    reached = 0.0
    for count in range(draws + 1):
        reached += math.comb(draws, count) * share**count * (1.0 - share) ** (draws - count)
        if reached >= quantile:
            return count
    return draws
