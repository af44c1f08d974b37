"""Cars behind a slow link that leave under load, and large requests over a link that loses segments.

The latency formula is that of the plan (`parkade.problem.latency`): network + wait + service + retry as distributions,
the 99th percentile of their sum. A slot is busy from the router's sending until the answer is back, so that its service
here is network + inference; slots that depart count as missing from the start, and departures cost a retry.
"""

import math
import threading
import time
from dataclasses import asdict, dataclass

from benchmarks.router.asking import Cell, Seen, ask
from benchmarks.router.programs import Bench, Program, relay
from benchmarks.router.routing import cars, metric, placed_on_cars, router, standing, workload
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
SMALL_RATE, LARGE_RATE = 4000.0, 250.0
"""Requests/s: 52 % of the slots, 74 % of those left after the departures; and 20 % with the stalls."""
WIDER = 1.15
"""Of the formula's p99."""
CALLERS = 2048
ABOUT = (
    "{cars} cars with {slots} slots each dial through a relay of {delay:g} ms each way; an inference takes "
    "exactly {inference:g} ms, requests arrive as a Poisson process. While {small:,} requests of 16 B come at "
    "{small_rate:,.0f}/s, {killed} % of the cars vanish within {within:g} s and stay away. The {large:,} requests"
    " of 180 KiB come at {large_rate:,.0f}/s with {loss:.0%} of the segments lost. Nothing above TCP can lose a "
    "segment: for each of 1,448 bytes that it draws as lost, one after another, the relay holds up that direction"
    " of that connection for {stall:g} ms, which is harsher than TCP. Milliseconds."
)
HEAD = ("", "requests", "failures", "retries", "p50", "p99", "formula's p99", "standing at the end")


@dataclass(frozen=True)
class Outcome:
    """One run and what the formula says of it."""

    seen: Seen
    expected: float
    """Seconds."""
    retries: float
    standing: int


def measure(bench: Bench, small: int, large: int) -> Section:
    """Both runs."""
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
    return (name, f"{seen.requests:,}", str(seen.failures), f"{outcome.retries:,.0f}", f"{seen.p50 / 1e3:,.1f}",
            f"{seen.p99 / 1e3:,.1f}", expected, f"{outcome.standing:,}")  # fmt: skip


def run(bench: Bench, cell: Cell, requests: int, rate: float, *, kill: bool) -> Outcome:
    """Open-loop load over cars behind the relay."""
    loss = 0.0 if kill else LOSS
    seconds = requests / rate
    service = (
        "--service-micros",
        round(1e6 * INFERENCE),
        "--answer-bytes",
        SMALL if kill else ANSWER,
        "--slots",
        SLOTS,
    )
    with (
        router(bench, [workload("bench", placed_on_cars())]) as program,
        relay(bench, program.said["cars"], DELAY, loss) as link,
        cars(bench, link.said["address"], CARS, *service, connections=CARS * SLOTS) as fleet,
    ):
        leaving = threading.Thread(target=_leave, args=(fleet, min(seconds / 3.0, WITHIN)))
        if kill:
            leaving.start()
        flags = ("--rate", rate, "--requests", requests, "--warmup", 0)
        seen = ask(bench, program.said["http"], cell, 2.0 * seconds + 10.0, *flags)
        if kill:
            leaving.join()
        retries, left = metric(program, "retries_total"), standing(fleet)
    return Outcome(seen, expected_p99(seconds, rate, cell, kill=kill), retries, left)


def _leave(fleet: Program, seconds: float) -> None:
    time.sleep(seconds)
    fleet.tell(f"kill {KILLED} {seconds}")
    fleet.hear()


def expected_p99(seconds: float, rate: float, cell: Cell, *, kill: bool) -> float:
    """Seconds, by the formula."""
    slots = CARS * SLOTS
    base = 2.0 * DELAY + INFERENCE
    if kill:
        left = slots - CARS * KILLED // 100 * SLOTS
        departures = KILLED / 100 / seconds * SECONDS_PER_HOUR
        path = Path(Service(base, 0.0), (), departures)
        return percentile_of([(1.0, path, left, rate * base / left)], 99.0, 2.0 * base)
    segments = math.ceil(cell.size / SEGMENT) + math.ceil(ANSWER / SEGMENT)
    stalls = STALL * LOSS * segments
    busy = rate * (base + stalls) / slots
    # So few slots are busy that nothing waits: what is left is the network, whose stalls are binomial.
    assert busy < 0.5
    return base + STALL * _binomial_quantile(segments, LOSS, 0.99)


def _binomial_quantile(draws: int, share: float, quantile: float) -> int:
    reached = 0.0
    for count in range(draws + 1):
        reached += math.comb(draws, count) * share**count * (1.0 - share) ** (draws - count)
        if reached >= quantile:
            return count
    return draws
