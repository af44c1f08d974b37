"""Helm, built once for its version from `e2e/helm/go.mod`."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from go_tools import go_tool

Render = Callable[..., str]


@pytest.fixture(scope="session")
def helm(repository_root: Path) -> Path:
    """HELM_BIN, or the binary in the user's cache; the first build takes about a minute on 2 cores."""
    return go_tool(repository_root, "helm", "helm.sh/helm/v4/cmd/helm")


@pytest.fixture(scope="session")
def render(helm: Path, repository_root: Path) -> Render:
    """`helm template`: returns the manifests, or fails with helm's own sentence."""

    def template(*arguments: str) -> str:
        chart = str(repository_root / "charts" / "parkade")
        command = [str(helm), "template", "parkade", chart, "--namespace", "parkade-system", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(done.stderr)
        return done.stdout

    return template
