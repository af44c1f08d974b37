"""Parkade's router under test: told by a file what is placed where."""

import contextlib
import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.router.programs import Bench, Program, until

TIMEOUT = "30s"
SLOTS = 1024
"""Of the upstream: more than there are callers, since nothing is computed there."""


def placed_on_cars(cell: str = "cell-0") -> Mapping[str, object]:
    """All of the rate on cars."""
    return {"place": cell, "tier": "Vehicle", "share": 100, "replicas": 64}


def placed_on_server(said: Mapping[str, str]) -> Mapping[str, object]:
    """All of the rate on a server that said where it listens."""
    endpoint = {"http": said["http"], "grpc": said["grpc"], "replicas": SLOTS}
    return {"place": "pool", "tier": "Datacenter", "share": 100, "replicas": SLOTS, "endpoints": [endpoint]}


def workload(model: str, *placements: Mapping[str, object]) -> Mapping[str, object]:
    """An InferenceWorkload named as its model, in the namespace bench."""
    return {
        "metadata": {"name": model, "namespace": "bench"},
        "spec": {"model": {"name": model}, "latency": {"target": "150ms", "timeout": TIMEOUT}},
        "status": {"placements": list(placements)},
    }


@contextlib.contextmanager
def router(bench: Bench, workloads: Sequence[Mapping[str, object]], *flags: object,
           name: str = "router") -> Iterator[Program]:  # fmt: skip
    """A router that knows its placements; no access log, as Envoy beside it."""
    placements = bench.folder / "placements.json"
    placements.write_text(json.dumps(workloads))
    pair = bench.authority.issue(name, common_name="127.0.0.1", uris=(f"parkade://router/{name}",), listens=True)
    ports = [f"--{port}=127.0.0.1:0" for port in ("http", "grpc", "cars", "metrics")]
    command = [
        bench.router, *ports, "--ca", bench.authority.certificate, "--cert", pair.certificate, "--key", pair.key,
        "--placements", placements, "--threads", 1, "--access-log", "off", *flags,
    ]  # fmt: skip
    with Program(command, bench.measured, bench.folder / f"{name}.log") as program:
        until(lambda: _is_ready(program), "the router knows its placements")
        yield program


@contextlib.contextmanager
def two_routers(bench: Bench, placed: Mapping[str, object], *flags: object) -> Iterator[tuple[Program, Program]]:
    """Two routers that know each other by a file: first the one that keeps the workload's queue."""
    file = bench.folder / "routers.json"
    file.write_text("[]")
    with contextlib.ExitStack() as stack:
        both = {
            name: stack.enter_context(router(
                bench, [placed], "--id", name, "--peers-listen", "127.0.0.1:0", "--peers", file, *flags, name=name,
            ))
            for name in ("router-0", "router-1")
        }  # fmt: skip
        _name(both, file)
        until(lambda: sorted(map(_owns, both.values())) == [False, True], "one of two routers keeps the queue")
        one, other = both.values()
        yield (one, other) if _owns(one) else (other, one)


def _name(routers: Mapping[str, Program], file: Path) -> None:
    rows = [{"id": name, "peers": each.said["peers"], "cars": each.said["cars"]} for name, each in routers.items()]
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(rows))
    draft.replace(file)


def _owns(router: Program) -> bool:
    return metric(router, "owns") == 1


@contextlib.contextmanager
def cars(bench: Bench, address: str, count: int, *flags: object, identities: int | None = None,
         connections: int | None = None) -> Iterator[Program]:  # fmt: skip
    """Cars that dial `address` and are awaited; `--slots` among the flags needs `connections`."""
    vehicles = bench.vehicles(identities or count)
    command = [
        bench.loadbench, "cars", "--router", address, "--cars", count, "--identities", vehicles,
        "--ca", bench.authority.certificate, *flags,
    ]  # fmt: skip
    with Program(command, bench.others, bench.folder / "cars.log") as program:
        until(lambda: standing(program) >= (connections or count), "all cars are connected", 120.0)
        yield program


def standing(cars: Program) -> int:
    """Connections that the router has taken."""
    cars.tell("count")
    return int(cars.hear()["standing"])


def metric(router: Program, name: str, **labels: str) -> float:
    """The sum of the samples that have these labels."""
    with urllib.request.urlopen(f"http://{router.said['metrics']}/metrics") as answer:
        text = answer.read().decode()
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    lines = [line for line in text.splitlines() if line.startswith(f"parkade_router_{name}{{")]
    return sum(float(line.split()[-1]) for line in lines if all(label in line for label in wanted))


def _is_ready(router: Program) -> bool:
    try:
        with urllib.request.urlopen(f"http://{router.said['metrics']}/readyz") as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
