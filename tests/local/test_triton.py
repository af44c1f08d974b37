"""The local Triton server's installation; that it serves is proved by tests/serving."""

import os
import sys
from pathlib import Path

import pytest

from parkade.errors import LocalPlaneError
from parkade.local import triton

PORTS = triton.Ports(20001, 20002, 20003)


def test_another_triton_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("TRITON_BIN", "/opt/tritonserver/bin/tritonserver")
    spec = triton.command(PORTS, tmp_path / "models", print)
    assert spec.argv[0] == "/opt/tritonserver/bin/tritonserver"
    assert not any(flag.startswith("--backend-directory") for flag in spec.argv)
    assert {"--model-control-mode=explicit", "--http-port=20001", "--grpc-port=20002", "--metrics-port=20003"} <= {
        *spec.argv
    }
    assert (tmp_path / "models").is_dir()


def test_without_uv_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(LocalPlaneError, match="pip install uv"):
        triton.uv_command()


def test_without_a_python_that_fits_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(triton, "STUBS", ("3.99",))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(LocalPlaneError, match=r"needs Python 3\.99.*TRITON_BIN"):
        triton.install(print)


@pytest.mark.triton
def test_it_is_installed_once_for_each_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("TRITON_BIN", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    said: list[str] = []
    environment = triton.install(said.append)
    assert len(said) == 1
    assert triton.install(said.append) == environment
    assert len(said) == 1
    assert [path.name for path in environment.parent.iterdir()] == [environment.name]
    spec = triton.command(PORTS, tmp_path / "models", said.append)
    assert os.access(spec.argv[0], os.X_OK)
    assert os.access(environment / "backends" / "python" / "triton_python_backend_stub", os.X_OK)
