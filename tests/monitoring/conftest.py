"""Prometheus and promtool, built once for their version from `e2e/prometheus/go.mod`, and the chart's rules."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from go_tools import go_tool

LEAN = ("-tags", "remove_all_sd")
"""Without the clients of clouds, which nobody needs here and which take most of the build."""


@pytest.fixture(scope="session")
def promtool(repository_root: Path) -> Path:
    """Checks rules and metrics, and plays rules on given series."""
    return go_tool(repository_root, "prometheus", "github.com/prometheus/prometheus/cmd/promtool", *LEAN)


@pytest.fixture(scope="session")
def prometheus(repository_root: Path) -> Path:
    """The server."""
    return go_tool(repository_root, "prometheus", "github.com/prometheus/prometheus/cmd/prometheus", *LEAN)


@pytest.fixture(scope="session")
def rule_file(repository_root: Path) -> Path:
    """The chart's rules."""
    return repository_root / "charts" / "parkade" / "rules" / "parkade.yaml"


@pytest.fixture(scope="session")
def rules(rule_file: Path) -> list[dict[str, Any]]:
    """Every rule of every group."""
    return [rule for group in yaml.safe_load(rule_file.read_text())["groups"] for rule in group["rules"]]
