"""What is shipped for Prometheus and Grafana works with what the processes tell: a real Prometheus reads the demo."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
import yaml

from dashboards.all_boards import FOLDER
from dashboards.queries import asked, panels
from demo.client import Traffic
from demo.inputs import Sample
from demo.run import WORKLOADS
from go_tools import go_tool
from monitored import INTERVAL, Prometheus, targets, watching
from parkade.local.paths import source_root
from world import World

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

LEAN = ("-tags", "remove_all_sd")
TRAFFIC_SECONDS = 20.0
EMPTY = {
    "Messages from makers and chargers": "no witness is connected in the demo",
    "Changes of presence": "counted from the first change on",
    "Refused": "nobody was refused",
}
"""Panels that may show nothing while all is well."""
BORN_LATER = {
    "parkade_vehicle_changes_total",
    "parkade_witness_messages_total",
    "parkade_router_refused_total",
    "parkade_router_cars_refused_total",
    "parkade_router_peers_refused_total",
    "parkade_router_spans_dropped_total",
}
"""Metrics whose labels come with the first event."""
PER_WORKLOAD = {"router": 110, "operator": 12}
"""Most series that one workload may have."""
PER_POOL = {"carlet": 30, "operator": 6}
HISTORIC = re.compile(r"_(bucket|sum|count|created)$")


@pytest.fixture(scope="module")
def root() -> Path:
    found = source_root()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def watched(running: World, questions: Mapping[str, tuple[Sample, ...]], root: Path) -> Iterator[Prometheus]:
    """Prometheus over the demo, after some traffic."""
    program = go_tool(root, "prometheus", "github.com/prometheus/prometheus/cmd/prometheus", *LEAN)
    running.apply(running.manifests)
    with watching(running, program, root / "charts" / "parkade" / "rules" / "parkade.yaml") as prometheus:
        running.await_ready(WORKLOADS)
        loads = running.loads(questions, WORKLOADS, seconds=TRAFFIC_SECONDS)
        with Traffic(loads, seconds=TRAFFIC_SECONDS * 3) as traffic:
            assert not traffic.finish().failures
        for workload in WORKLOADS:
            prometheus.await_that(
                "requests are counted", f'rate(parkade_router_requests_total{{workload="{workload}"}}[1m]) > 0'
            )
        prometheus.await_that("rules are recorded", "workload:parkade_router_requests_errors:ratio_rate5m")
        yield prometheus


def test_every_process_is_read(watched: Prometheus) -> None:
    assert {row["labels"]["job"]: row["lastError"] for row in watched.get("targets")["activeTargets"]} == {
        "operator": "",
        "carlet": "",
        "router": "",
    }


@pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.glob("*.json")))
def test_every_query_of_a_dashboard_has_data(name: str, watched: Prometheus) -> None:
    queries = [
        query for panel in panels(FOLDER / f"{name}.json") for query in asked(panel, seconds=60, interval=INTERVAL)
    ]
    assert [query for query in queries if query.panel not in EMPTY and not watched.query(query.expr)] == []


def test_every_rule_is_healthy_and_speaks_of_metrics_that_are_there(watched: Prometheus) -> None:
    names = set(watched.get("label/__name__/values"))
    rules = [rule for group in watched.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    for rule in rules:
        spoken = set(re.findall(r"\w*:?parkade_[\w:]+", rule["query"]))
        assert spoken, rule["name"]
        assert spoken - names <= BORN_LATER, rule["name"]
        if rule["type"] == "recording":
            assert watched.query(rule["name"]), rule["name"]
    firing = [row["labels"]["alertname"] for row in watched.get("alerts")["alerts"] if row["state"] == "firing"]
    assert firing == []


def documented(root: Path) -> Iterator[tuple[str, str, str, set[str]]]:
    """(metric, process, type, labels) of every row of docs/monitoring.md."""
    for line in (root / "docs" / "monitoring.md").read_text().splitlines():
        if line.startswith("| `parkade_"):
            _, name, processes, kind, labels, *_ = (cell.strip() for cell in line.split("|"))
            for process in processes.split(", "):
                yield name.strip("`"), process, kind, set(re.findall(r"`(\w+)`", labels))


def test_the_documented_metrics_are_those_that_processes_tell(watched: Prometheus, root: Path) -> None:
    told: dict[tuple[str, str], set[str]] = {}
    for series in watched.get("series", **{"match[]": '{__name__=~"parkade_.*"}'}):
        name = HISTORIC.sub("", series["__name__"])
        told.setdefault((name, series["job"]), set()).update(set(series) - {"__name__", "job", "instance", "le"})
    rows = {(name, job): labels for name, job, _, labels in documented(root)}
    granted = ("parkade_fleet_credentials_total", "carlet")  # without a refusal the reason is empty, and so no label
    told[granted].add("reason")
    silent = {key for key in rows if key[0] in BORN_LATER} - set(told)
    assert told == {key: labels for key, labels in rows.items() if key not in silent}


def test_the_documented_types_are_those_of_the_processes(running: World, root: Path) -> None:
    told = {}
    for job, address in targets(running).items():
        text = httpx.get(f"http://{address}/metrics", trust_env=False).text
        told |= {(name, job): kind for name, kind in re.findall(r"^# TYPE (parkade_\w+) (\w+)$", text, re.MULTILINE)}
    rows = {(name, job): kind for name, job, kind, _ in documented(root)}
    assert {key: rows[key] for key in rows if told.get(key, rows[key]) != rows[key]} == {}


def test_promtool_finds_nothing_to_blame(watched: Prometheus, running: World, root: Path) -> None:
    promtool = go_tool(root, "prometheus", "github.com/prometheus/prometheus/cmd/promtool", *LEAN)
    assert watched.query("up")
    for job, address in targets(running).items():
        text = httpx.get(f"http://{address}/metrics", trust_env=False).text
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), job


def test_a_workload_and_a_pool_have_a_bounded_number_of_series(watched: Prometheus, running: World) -> None:
    pools = {pool["metadata"]["name"] for kind in ("vnp", "tp") for pool in running.json(kind)["items"]}
    series = watched.get("series", **{"match[]": '{__name__=~"parkade_.*"}'})
    workloads = Counter((row["job"], row["workload"]) for row in series if "workload" in row)
    assert {workload for _, workload in workloads} <= {*WORKLOADS, "unknown"}
    by_pool = Counter((row["job"], row["pool"]) for row in series if "pool" in row)
    assert {pool for _, pool in by_pool} <= {*pools, ""}
    for counts, most in ((workloads, PER_WORKLOAD), (by_pool, PER_POOL)):
        assert {key: count for key, count in counts.items() if count > most[key[0]]} == {}
    others = [row for row in series if "workload" not in row and "pool" not in row]
    assert len(others) < 400, "series that grow with neither workloads nor pools"


def test_no_series_names_a_car(watched: Prometheus, running: World) -> None:
    values = {value for row in watched.get("series", **{"match[]": '{__name__=~".+"}'}) for value in row.values()}
    cars = {
        yaml.safe_load((running.state_directory(car) / "enrolment.json").read_text())["vehicle"] for car in running.cars
    }
    assert cars
    assert not [value for value in values for car in (*cars, *running.cars) if car in value]
