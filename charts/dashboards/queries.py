"""The queries of a dashboard's file, with Grafana's variables filled in as Grafana would for all of everything."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of one panel."""

    panel: str
    expr: str
    legend: str


def panels(file: Path) -> list[dict[str, Any]]:
    """All panels of a dashboard's file but its headings."""
    found: list[dict[str, Any]] = json.loads(file.read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def asked(panel: dict[str, Any], *, seconds: int, interval: str) -> Iterator[Asked]:
    """What a panel asks when everything is chosen.

    Args:
        panel: as in the dashboard's file.
        seconds: length of the time that is shown.
        interval: a duration of Prometheus, for rates.
    """
    filled = {"__range_s": str(seconds), "__range": f"{seconds}s", "__rate_interval": interval}
    for target in panel["targets"]:
        expr = re.sub(r"\$(\w+)", lambda found: filled.get(found[1], ".*"), target["expr"])
        yield Asked(panel["title"], expr, target["legendFormat"])
