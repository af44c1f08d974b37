"""The chart's rules: checked by promtool, each alert played on series that fire it and on series that do not."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # a cold build of promtool: 4 minutes on 2 idle cores

Series = dict[str, str]

REQUESTS = 'parkade_router_requests_total{workload="a/b", tier="none", outcome="%s"}'
GOOD, BAD, SHED = (REQUESTS % outcome for outcome in ("answered", "unplaced", "shed"))
BUCKET = 'parkade_router_request_duration_seconds_bucket{workload="a/b", tier="Vehicle", le="%s"}'
TARGET = 'parkade_workload_latency_target_seconds{workload="a/b", percentile="99"}'
CYCLES = 'parkade_cycles_total{job="o", instance="o-0", outcome="%s"}'
LEADING = 'parkade_leading{job="o", instance="o-%d"}'
CARS = 'parkade_vehicle_evidence{pool="p", presence="%s", evidence="Heartbeat"}'
PLANNED, READY = (f'parkade_{name}{{workload="a/b", tier="Vehicle"}}' for name in ("planned_replicas", "replicas"))
CHECKS = 'parkade_router_verifications_total{workload="a/b", outcome="%s"}'
MESSAGES = 'parkade_fleet_messages_total{kind="beat", outcome="%s"}'
GRANTS = 'parkade_fleet_credentials_total{way="renew", reason="%s"}'
ENDS = 'parkade_certificate_expiration_timestamp_seconds{use="serving"}'
MINUTES = 60
"""How long the series go on; windows of six hours are judged by what there is of them."""


def steady(value: float) -> str:
    return f"{value}x{MINUTES}"


def rising(by: float) -> str:
    """A counter that grows by so much a minute."""
    return f"0+{by}x{MINUTES}"


CASES: dict[str, tuple[Series, Series]] = {
    "ParkadeErrorBudgetBurnsFast": ({GOOD: rising(600), BAD: rising(12)}, {GOOD: rising(600), BAD: rising(4)}),
    "ParkadeErrorBudgetBurnsSlowly": ({GOOD: rising(600), BAD: rising(5)}, {GOOD: rising(600), BAD: rising(2)}),
    "ParkadeLatencyOverTarget": (
        {BUCKET % "0.1": rising(60), BUCKET % "0.5": rising(100), BUCKET % "+Inf": rising(100), TARGET: steady(0.15)},
        {BUCKET % "0.1": rising(100), BUCKET % "0.5": rising(100), BUCKET % "+Inf": rising(100), TARGET: steady(0.15)},
    ),
    "ParkadeNoLeader": (
        {LEADING % 0: steady(0), LEADING % 1: steady(0)},
        {LEADING % 0: steady(0), LEADING % 1: steady(1)},
    ),
    "ParkadeCyclesFailing": (
        {CYCLES % "failed": rising(2), CYCLES % "steady": rising(4)},
        {CYCLES % "failed": steady(7), CYCLES % "steady": rising(6)},
    ),
    "ParkadeCyclesStopped": (
        {LEADING % 0: steady(1), CYCLES % "steady": steady(9)},
        {LEADING % 0: steady(1), CYCLES % "steady": rising(6)},
    ),
    "ParkadePlanGapWide": ({"parkade_plan_gap": steady(0.2)}, {"parkade_plan_gap": steady(0.01)}),
    "ParkadeUnreadableObjects": ({"parkade_unreadable_objects": steady(1)}, {"parkade_unreadable_objects": steady(0)}),
    "ParkadeChangesRefused": (
        {'parkade_changes_total{kind="ApplyService", outcome="refused"}': rising(6)},
        {'parkade_changes_total{kind="ApplyService", outcome="applied"}': rising(6)},
    ),
    "ParkadeModelFilesFailed": (
        {'parkade_model_files{state="Failed"}': steady(1)},
        {'parkade_model_files{state="Failed"}': steady(0), 'parkade_model_files{state="Staged"}': steady(3)},
    ),
    "ParkadeReplicasBelowPlan": ({PLANNED: steady(4), READY: steady(3)}, {PLANNED: steady(4), READY: steady(5)}),
    "ParkadeNoReplicas": ({PLANNED: steady(4), READY: steady(0)}, {PLANNED: steady(4), READY: steady(1)}),
    "ParkadeWantsUnmet": (
        {'parkade_workload_shortfalls{workload="a/b"}': steady(1)},
        {'parkade_workload_shortfalls{workload="a/b"}': steady(0)},
    ),
    "ParkadeNoRouter": ({}, {"parkade_router_access_lines_dropped_total": steady(0)}),
    "ParkadeQueueWithoutOwner": (
        {'parkade_router_owns{workload="a/b", instance="r-0"}': steady(0)},
        {
            'parkade_router_owns{workload="a/b", instance="r-0"}': steady(0),
            'parkade_router_owns{workload="a/b", instance="r-1"}': steady(1),
        },
    ),
    "ParkadeRouterShedding": ({GOOD: rising(600), SHED: rising(60)}, {GOOD: rising(600), SHED: rising(1)}),
    "ParkadeCallersNotVouchedFor": (
        {'parkade_router_refused_total{reason="unavailable"}': rising(6)},
        {'parkade_router_refused_total{reason="quota"}': rising(6)},
    ),
    "ParkadeCallersRefused": (
        {'parkade_router_refused_total{reason="quota"}': rising(120)},
        {'parkade_router_refused_total{reason="quota"}': rising(6)},
    ),
    "ParkadeCarsRefused": (
        {'parkade_router_cars_refused_total{reason="handshake"}': rising(60)},
        {'parkade_router_cars_refused_total{reason="handshake"}': rising(1)},
    ),
    "ParkadePlacesBarred": (
        {'parkade_router_places_barred{workload="a/b"}': steady(1)},
        {'parkade_router_places_barred{workload="a/b"}': steady(0)},
    ),
    "ParkadeAnswersDisagree": (
        {CHECKS % "agreed": rising(10), CHECKS % "disagreed": rising(1)},
        {CHECKS % "agreed": rising(10), CHECKS % "disagreed": steady(5)},
    ),
    "ParkadeAnswersUnchecked": (
        {CHECKS % "agreed": rising(1), CHECKS % "skipped": rising(9)},
        {CHECKS % "agreed": rising(9), CHECKS % "skipped": rising(1)},
    ),
    "ParkadeAccessLinesDropped": (
        {"parkade_router_access_lines_dropped_total": rising(6)},
        {"parkade_router_access_lines_dropped_total": steady(6)},
    ),
    "ParkadeSpansDropped": (
        {'parkade_router_spans_dropped_total{reason="collector"}': rising(6)},
        {'parkade_router_spans_dropped_total{reason="collector"}': steady(6)},
    ),
    "ParkadeNoCarlet": ({}, {"parkade_fleet_link_up": steady(0)}),
    "ParkadeFleetLinkDown": ({"parkade_fleet_link_up": steady(0)}, {"parkade_fleet_link_up": steady(1)}),
    "ParkadeCarsSilent": (
        {CARS % "Here": steady(60), CARS % "Silent": steady(40), CARS % "Gone": steady(500)},
        {CARS % "Here": steady(6), CARS % "Silent": steady(4), CARS % "Gone": steady(500)},
    ),
    "ParkadeMalformedMessages": (
        {MESSAGES % "garbage": rising(6)},
        {MESSAGES % "accepted": rising(600), MESSAGES % "outdated": rising(6), MESSAGES % "garbage": steady(3)},
    ),
    "ParkadeCredentialsRefused": (
        {GRANTS % "TokenRefused": rising(6)},
        {GRANTS % "": rising(6), GRANTS % "TokenRefused": steady(3)},
    ),
    "ParkadeCellWritesFailing": (
        {'parkade_cell_writes_total{outcome="failed"}': rising(6)},
        {'parkade_cell_writes_total{outcome="failed"}': steady(6)},
    ),
    "ParkadeCertificateExpires": ({ENDS: steady(10 * 86400)}, {ENDS: steady(90 * 86400)}),
}  # fmt: skip


def play(promtool: Path, directory: Path, rule_file: Path, cases: list[dict[str, Any]]) -> None:
    plan = directory / "plan.yaml"
    plan.write_text(yaml.safe_dump({"rule_files": [str(rule_file)], "evaluation_interval": "1m", "tests": cases}))
    done = subprocess.run([promtool, "test", "rules", plan], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def asking(name: str, alert: str, series: Series, *, fires: bool) -> dict[str, Any]:
    wanted = [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if fires else []
    expression = f'count by (alertname) (ALERTS{{alertname="{alert}", alertstate="firing"}})'
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in series.items()],
        "promql_expr_test": [{"expr": expression, "eval_time": f"{MINUTES - 1}m", "exp_samples": wanted}],
    }


def test_each_alert_fires_when_it_should_and_not_when_all_is_well(
    promtool: Path, rule_file: Path, rules: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert [rule["alert"] for rule in rules if "alert" in rule] == list(CASES)
    cases = [asking(f"{alert} fires", alert, series, fires=True) for alert, (series, _) in CASES.items()]
    cases += [asking(f"{alert} is silent", alert, series, fires=False) for alert, (_, series) in CASES.items()]
    play(promtool, tmp_path, rule_file, cases)


def test_an_objective_is_judged_by_what_is_not_the_callers_fault(
    promtool: Path, rule_file: Path, tmp_path: Path
) -> None:
    rejected, cancelled = REQUESTS % "rejected", REQUESTS % "cancelled"
    series = {GOOD: rising(90), BAD: rising(10), rejected: rising(500), cancelled: rising(500)}
    case = asking("", "", series, fires=False)
    case["promql_expr_test"] = [
        {
            "expr": "round(workload:parkade_router_requests_errors:ratio_rate5m, 0.001)",
            "eval_time": "10m",
            "exp_samples": [{"labels": '{workload="a/b"}', "value": 0.1}],
        }
    ]
    play(promtool, tmp_path, rule_file, [case])


def test_promtool_finds_nothing_to_blame(promtool: Path, rule_file: Path) -> None:
    command = [promtool, "check", "rules", "--lint=all", "--lint-fatal", rule_file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_says_what_it_is_and_where_its_page_is(rules: list[dict[str, Any]], repository_root: Path) -> None:
    pages = {page.stem for page in (repository_root / "docs" / "runbooks").glob("*.md")} - {"README"}
    alerts = {rule["alert"]: rule for rule in rules if "alert" in rule}
    assert pages == set(alerts)
    for name, alert in alerts.items():
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
        said = alert["annotations"]
        assert said["summary"]
        assert said["description"].endswith(".")
        assert said["runbook_url"] == f"https://parkade.dev/docs/runbooks/{name}"
        text = (repository_root / "docs" / "runbooks" / f"{name}.md").read_text()
        headings = [line for line in text.splitlines() if line.startswith("#")]
        assert headings[0] == f"# {name}"
        assert headings[-1] == "## What to do"
        assert {"## What it means", "## What to look at"} < set(headings)
        linked = re.findall(r"\]\((\w+)\.md\)", text)
        assert set(linked) <= pages
