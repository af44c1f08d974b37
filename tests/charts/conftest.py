"""Helm, built once for its version from `e2e/helm/go.mod`."""

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from parkade.local.paths import cache_directory

Render = Callable[..., str]


@pytest.fixture(scope="session")
def helm(repository_root: Path) -> Path:
    """HELM_BIN, or the binary in the user's cache; the first build takes about a minute on 2 cores."""
    if override := os.environ.get("HELM_BIN"):
        return Path(override)
    module = repository_root / "e2e" / "helm"
    key = hashlib.sha256((module / "go.mod").read_bytes() + (module / "go.sum").read_bytes()).hexdigest()[:12]
    binary = cache_directory() / "helm" / key / "helm"
    if not binary.exists():
        command = ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", f"{binary}.new", "helm.sh/helm/v4/cmd/helm"]
        binary.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(command, cwd=module, check=True)
        Path(f"{binary}.new").rename(binary)
    return binary


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
