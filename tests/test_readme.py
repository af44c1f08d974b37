"""What the README prints is true: its manifest is valid, its links lead somewhere, its commands exist."""

import re

import pytest
import yaml

from parkade.api import parse


@pytest.fixture(scope="module")
def readme(repository_root):
    return (repository_root / "README.md").read_text()


def test_its_manifest_is_valid(readme):
    (manifest,) = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    assert parse(yaml.safe_load(manifest)).key == "vision/sign-reader"


def test_its_links_lead_somewhere(readme, repository_root):
    targets = re.findall(r"\]\(([^)#:]+)\)", readme)
    assert targets
    assert [target for target in targets if not (repository_root / target).exists()] == []


def test_its_make_targets_exist(readme, repository_root):
    targets = set(re.findall(r"make ([a-z][a-z-]+)", readme))
    defined = set(re.findall(r"^([a-z-]+):", (repository_root / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= targets <= defined


def test_continuous_integration_runs_the_test_command(repository_root):
    assert "exec make test" in (repository_root / ".ci" / "run").read_text()
