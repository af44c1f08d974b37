"""The table that ends the demo; every figure comes from the cluster, the router's access log or the clients."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Answered:
    """One line of the router's access log."""

    workload: str
    tier: str
    place: str
    attempts: int
    status: int
    milliseconds: float


def read_access_log(path: Path) -> list[Answered]:
    """Every inference request that the router answered, oldest first."""
    lines = (json.loads(line) for line in path.read_text().splitlines())
    return [
        Answered(line["workload"], line["tier"], line["place"], line["attempts"], line["status"], line["milliseconds"])
        for line in lines
        if line.get("workload") and line.get("tier")
    ]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def table(rows: Iterable[Sequence[object]]) -> str:
    """Rows as aligned columns; the first row is the heading."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def latencies(answers: Sequence[Answered]) -> str:
    """Requests, retries, p50 and p99 by workload and tier, as the router measured them."""
    rows: list[Sequence[object]] = [("WORKLOAD", "TIER", "REQUESTS", "RETRIED", "P50 ms", "P99 ms")]
    for workload, tier in sorted({(answer.workload, answer.tier) for answer in answers}):
        group = [answer for answer in answers if (answer.workload, answer.tier) == (workload, tier)]
        times = [answer.milliseconds for answer in group]
        retried = sum(answer.attempts > 1 for answer in group)
        p50, p99 = (f"{percentile(times, percent):.1f}" for percent in (50, 99))
        rows.append((workload, tier, len(group), retried, p50, p99))
    return table(rows)


def placements(workloads: Sequence[dict[str, Any]]) -> str:
    """Where each workload runs and why."""
    rows: list[Sequence[object]] = [("WORKLOAD", "PLACE", "TIER", "REPLICAS", "SHARE", "REASON")]
    for workload in workloads:
        metadata, status = workload["metadata"], workload.get("status", {})
        rows += [
            (
                f"{metadata['namespace']}/{metadata['name']}",
                place["place"],
                place["tier"],
                place["replicas"],
                f"{place['share']} %",
                place["reason"],
            )
            for place in status.get("placements", [])
        ]
    return table(rows)


def reasons(workloads: Sequence[dict[str, Any]]) -> str:
    """The sentence of each workload's condition Placed."""
    return "\n".join(
        f"{workload['metadata']['name']}: {condition['message']}"
        for workload in workloads
        for condition in workload.get("status", {}).get("conditions", [])
        if condition["type"] == "Placed"
    )


def reactions(operator_log: Path) -> str:
    """How long the operator took from an event to the change applied, debounce included."""
    times = [float(text) for text in re.findall(r"event_to_applied_seconds=([0-9.]+)", operator_log.read_text())]
    return f"event to applied change: median {percentile(times, 50):.2f} s, worst {max(times):.2f} s of {len(times)}"


def totals(workloads: Sequence[dict[str, Any]]) -> str:
    """What the plan expects to pay, draw and emit, and how far from the best it can be."""
    statuses = [workload.get("status", {}) for workload in workloads]
    expected = [status.get("expected", {}) for status in statuses]
    watts = sum(float(part.get("watts", 0)) for part in expected)
    dollars = sum(float(part.get("costPerHour", 0)) for part in expected)
    grams = sum(float(part.get("gramsCO2PerHour", 0)) for part in expected)
    gap = max((float(status.get("plan", {}).get("gap", 0)) for status in statuses), default=0.0)
    return f"planned: {watts:.0f} W, {dollars:.3f} $/h, {grams:.0f} gCO2/h, gap to the proven bound {100 * gap:.2f} %"


def unanswered(path: Path) -> str:
    """The router's own lines of inference requests that ended without a good answer."""
    lines = [line for line in path.read_text().splitlines() if json.loads(line)["status"] not in (0, 200)]
    return "\n".join(f"  {line}" for line in lines[:20])


def failures(sentences: Iterable[str]) -> str:
    """Different failures with how often each came; empty when there was none."""
    return "\n".join(f"  {count} x {sentence}" for sentence, count in Counter(sentences).most_common())
