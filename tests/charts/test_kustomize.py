"""The base for kustomize is the chart, and the real API server takes it."""

from pathlib import Path

import pytest
import yaml

from charts.kustomize import BASE, rendered
from parkade.local.plane import Plane


@pytest.mark.slow
def test_the_base_is_the_chart_with_its_defaults(helm: Path) -> None:
    assert BASE.read_text() == rendered(helm), "make kustomize"


def test_every_definition_is_in_the_base(repository_root: Path) -> None:
    named = yaml.safe_load((repository_root / "kustomization.yaml").read_text())["resources"]
    assert {name for name in named if name.startswith("crds/")} == {
        f"crds/{file.name}" for file in (repository_root / "crds").iterdir()
    }


@pytest.mark.cluster
def test_the_api_server_takes_the_base(plane: Plane, repository_root: Path) -> None:
    built = plane.kubectl("kustomize", str(repository_root))
    printed = plane.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=built)
    for name in ("parkade-operator", "carlet", "parkade-router"):
        assert f"deployment.apps/{name} serverside-applied" in printed
    assert "job.batch/parkade-secrets serverside-applied" in printed
