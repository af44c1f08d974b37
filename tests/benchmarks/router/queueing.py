"""One queue beside other policies: played through, and with real processes."""

import contextlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict

from benchmarks.router.asking import Cell, Seen, ask, middle
from benchmarks.router.envoy import envoy
from benchmarks.router.programs import Bench, require_descriptors, upstream
from benchmarks.router.routing import cars, placed_on_cars, router, workload
from benchmarks.router.table import Must, Section

REPLICAS = 64
LOAD = 0.7
SERVICE = 0.02
"""Seconds."""
CALLERS = 512
"""At most this many requests under way, queued ones included."""
DESCRIPTORS = 4 * CALLERS
"""Of a proxy: one for each caller, at most as many towards servers, and room."""
BOUND = 1.3
"""p99 in that of one central queue."""
CENTRAL, OURS = "central queue", "router"
POLICIES = {"random": "RANDOM", "power of two (least requests of 2)": "LEAST_REQUEST"}
"""Rows of the simulation and Envoy's names for them."""
ABOUT = (
    "{replicas} replicas, one request at a time each, a service of exactly {service:g} ms, Poisson arrivals from "
    "a seed at {load:.0%} load. Latencies in service times: simulated over {requests:,} requests (the router with"
    " 0.2 ms until a credit is back), and of real processes: the router with that many simulated cars, Envoy with"
    " as many servers, medians of {rounds} interleaved rounds of {seconds:g} s. Whatever shares the cores delays "
    "real processes."
)
HEAD = ("policy", "simulated p50", "p99", "p99.9", "real p50", "real p99", "failures")


def measure(bench: Bench, rounds: int, seconds: float, requests: int) -> Section:
    """Play through, then run."""
    require_descriptors(DESCRIPTORS)
    simulated, real = _simulate(bench, requests), _run(bench, rounds, seconds)
    rows = []
    for name, quantiles in simulated.items():
        seen = real.get(name)
        middle_and_tail = (f"{_in_service(seen.p50):.2f}", f"{_in_service(seen.p99):.2f}") if seen else ("", "")
        rows.append((name, *(f"{quantiles[key]:.2f}" for key in ("p50", "p99", "p999")), *middle_and_tail,
                     str(seen.failures) if seen else ""))  # fmt: skip
    central = simulated[CENTRAL]["p99"]
    musts = [
        Must("p99 of one central queue's, simulated", simulated[OURS]["p99"] / central, BOUND),
        Must("p99 of one central queue's, real processes", _in_service(real[OURS].p99) / central, BOUND),
        Must("failures", real[OURS].failures, 0),
    ]
    about = ABOUT.format(
        replicas=REPLICAS, service=1e3 * SERVICE, load=LOAD, requests=requests, rounds=rounds, seconds=seconds
    )
    figures = {"simulated": simulated, "real": {name: asdict(seen) for name, seen in real.items()}}
    return Section("64 replicas at 70 % load", about, HEAD, rows, musts, figures)


def _simulate(bench: Bench, requests: int) -> Mapping[str, Mapping[str, float]]:
    command = [bench.loadbench, "policies", "--servers", REPLICAS, "--load", LOAD,
               "--service-micros", round(1e6 * SERVICE), "--requests", requests]  # fmt: skip
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, check=True, text=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {each.pop("policy"): each for each in found}


def _run(bench: Bench, rounds: int, seconds: float) -> Mapping[str, Seen]:
    runs: dict[str, list[Seen]] = {}
    service = ("--service-micros", str(round(1e6 * SERVICE)))
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(router(bench, [workload("bench", placed_on_cars())]))
        stack.enter_context(cars(bench, ours.said["cars"], REPLICAS, *service))
        targets = {OURS: ours.said["http"]}
        if bench.envoy is not None:
            servers = stack.enter_context(upstream(bench, *service, "--singles", str(REPLICAS)))
            for name, policy in POLICIES.items():
                proxy = stack.enter_context(envoy(bench, servers.said["singles"], servers.said["grpc"], policy))
                targets[name] = proxy.said["http"]
        for each in range(rounds):
            for name, address in targets.items():
                flags = ("--rate", LOAD * REPLICAS / SERVICE, "--seed", each + 1)
                seen = ask(bench, address, Cell("http", 16, CALLERS), seconds, *flags)
                runs.setdefault(name, []).append(seen)
    return {name: middle(seen) for name, seen in runs.items()}


def _in_service(micros: float) -> float:
    return micros / 1e6 / SERVICE
