"""The manifests that each release shipped, which never change afterwards, are good with the definitions of today."""

import re
from pathlib import Path

import pytest

from parkade.api import load
from parkade.local.plane import Plane

RELEASES = sorted(path for path in (Path(__file__).parent / "manifests").iterdir() if path.is_dir())


def test_every_release_is_here(repository_root: Path) -> None:
    chart = (repository_root / "charts" / "parkade" / "Chart.yaml").read_text()
    (version,) = (line.split()[1] for line in chart.splitlines() if line.startswith("version:"))
    assert f"v{version}" in [release.name for release in RELEASES], (
        "copy examples/ and crds/ there: docs/api-evolution.md"
    )


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_todays_models_read_them(release: Path) -> None:
    files = sorted(release.glob("*.yaml"))
    assert {kind for file in files for kind in (type(it).__name__ for it in load(file))} >= {
        "InferenceWorkload", "VehicleNodePool", "TritonPool", "Region", "GridEvent",
    }  # fmt: skip


@pytest.mark.cluster
@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_the_api_server_takes_them(release: Path, plane: Plane) -> None:
    for file in sorted(release.glob("*.yaml")):
        text = re.sub(r"(?m)^( *namespace:) .*$", r"\1 default", file.read_text())  # which is there
        strictly = ("--dry-run=server", "--validate=strict")
        printed = plane.kubectl("create", *strictly, "-f", "-", stdin=text)
        assert printed.count("created (server dry run)") == len(load(file)), file.name
