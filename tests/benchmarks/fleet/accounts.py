"""What the API server and etcd say of the load on them, by their own metrics."""

import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx
import psutil

from benchmarks.fleet.places import FleetPlane

SAMPLE: Final = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$", re.MULTILINE)
LABEL: Final = re.compile(r'(\w+)="([^"]*)"')
CHANGING: Final = ("POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION")
"""Verbs that write to etcd."""
PROGRAMS: Final = ("kube-apiserver", "etcd", "kube-controller-manager")


@dataclass(frozen=True)
class Account:
    """Counters at one instant."""

    at: float
    """Seconds of the monotonic clock."""
    requests: Mapping[tuple[str, str], float]
    """Answered by verb and resource; those that watch count when they end."""
    rejected: float
    """By priority and fairness, or for more requests in flight than allowed."""
    received: float
    """Bytes that etcd was sent by the API server."""
    sent: float
    """Bytes that etcd sent to it."""
    answered: float
    """Bytes of answers other than watches."""
    watched: float
    """Bytes of events of watches."""
    database: float
    """Bytes of etcd's file."""
    used: float
    """Bytes of etcd's file that are in use."""
    processor: Mapping[str, float]
    """Seconds of each process."""
    memory: Mapping[str, int]
    """Resident bytes of each process."""


@dataclass(frozen=True)
class Spent:
    """What went on between two accounts, a second."""

    seconds: float
    verbs: Mapping[str, float]
    lines: Mapping[str, float] = field(repr=False)
    """Requests by verb and resource."""
    rejected: float
    """Of all that time."""
    received: float
    sent: float
    answered: float
    watched: float
    cores: Mapping[str, float]

    @property
    def requests(self) -> float:
        """Requests a second."""
        return sum(self.verbs.values())

    @property
    def writes(self) -> float:
        """Requests a second that may write."""
        return sum(rate for verb, rate in self.verbs.items() if verb in CHANGING)

    def of(self, resource: str) -> float:
        """Requests a second that write one resource."""
        verbs = {f"{verb} {resource}" for verb in CHANGING}
        return sum(rate for line, rate in self.lines.items() if line in verbs)


class Accountant:
    """Reads the accounts of one plane."""

    def __init__(self, plane: FleetPlane) -> None:
        self.plane = plane
        client = plane.authority.issue("apiserver-etcd-client", common_name="apiserver-etcd-client")
        context = ssl.create_default_context(cafile=str(plane.authority.certificate))
        context.load_cert_chain(client.certificate, client.key)
        self.etcd = httpx.Client(
            base_url=f"https://127.0.0.1:{plane.ports['etcd']}", verify=context, timeout=30.0, trust_env=False
        )

    def close(self) -> None:
        """Let go of the connection."""
        self.etcd.close()

    def read(self) -> Account:
        """Take an account."""
        server = parsed(self.plane.api.get("/metrics").raise_for_status().text)
        store = parsed(self.etcd.get("/metrics").raise_for_status().text)
        requests: dict[tuple[str, str], float] = {}
        for labels, value in server.get("apiserver_request_total", []):
            key = labels["verb"], labels["resource"]
            requests[key] = requests.get(key, 0.0) + value
        processes = {
            name: self.plane.processes.process(name) for name in self.plane.processes.names()
            if name in PROGRAMS or name.startswith("carlet")
        }  # fmt: skip
        running = {name: process for name, process in processes.items() if process is not None}
        return Account(
            at=time.monotonic(), requests=requests,
            rejected=total(server, "apiserver_flowcontrol_rejected_requests_total"),
            received=total(store, "etcd_network_client_grpc_received_bytes_total"),
            sent=total(store, "etcd_network_client_grpc_sent_bytes_total"),
            answered=total(server, "apiserver_response_sizes_sum"),
            watched=total(server, "apiserver_watch_events_sizes_sum"),
            database=total(store, "etcd_mvcc_db_total_size_in_bytes"),
            used=total(store, "etcd_mvcc_db_total_size_in_use_in_bytes"),
            processor={name: seconds(process) for name, process in running.items()},
            memory={name: process.memory_info().rss for name, process in running.items()},
        )  # fmt: skip


def spent(before: Account, after: Account) -> Spent:
    """The difference."""
    took = after.at - before.at
    verbs: dict[str, float] = {}
    lines: dict[str, float] = {}
    for (verb, resource), count in after.requests.items():
        rate = (count - before.requests.get((verb, resource), 0.0)) / took
        if rate > 0:
            verbs[verb] = verbs.get(verb, 0.0) + rate
            lines[f"{verb} {resource}"] = rate
    return Spent(
        seconds=took, verbs=verbs, lines=lines, rejected=after.rejected - before.rejected,
        received=(after.received - before.received) / took, sent=(after.sent - before.sent) / took,
        answered=(after.answered - before.answered) / took, watched=(after.watched - before.watched) / took,
        cores={
            name: (used - before.processor[name]) / took
            for name, used in after.processor.items() if name in before.processor
        },
    )  # fmt: skip


def parsed(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Samples of the Prometheus text format by name."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for sample in SAMPLE.finditer(text):
        labels = dict(LABEL.findall(sample["labels"] or ""))
        found.setdefault(sample["name"], []).append((labels, float(sample["value"])))
    return found


def total(metrics: Mapping[str, list[tuple[dict[str, str], float]]], name: str) -> float:
    """The sum over all labels; 0 if nothing was counted yet."""
    return sum(value for _, value in metrics.get(name, []))


def seconds(process: psutil.Process) -> float:
    """Of processor."""
    times = process.cpu_times()
    return float(times.user + times.system)
