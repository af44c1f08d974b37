"""A real Triton server without Docker or root: the one in the wheel `nvidia-pytriton`, in its own environment."""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from parkade.errors import LocalPlaneError
from parkade.local.binaries import Say
from parkade.local.paths import cache_directory
from parkade.local.processes import LaunchSpec

PYTRITON: Final = "nvidia-pytriton==0.7.0"
"""Carries tritonserver 2.51 with the Python backend; the rest of it, and so its dependencies, is not used."""
PYTHON_BACKEND_NEEDS: Final = ("numpy==1.26.4", "onnxruntime==1.31.1")
"""What models import. With numpy 2 this release of the backend answers with empty outputs."""
STUBS: Final = ("3.11", "3.12")
"""Pythons for which the wheel ships a stub of its Python backend and numpy 1.26 ships a wheel."""
LOOPBACK: Final = "127.0.0.1"


class Ports(NamedTuple):
    """Where one server listens."""

    http: int
    grpc: int
    metrics: int


def command(ports: Ports, repository: Path, say: Say, address: str = LOOPBACK) -> LaunchSpec:
    """How to start one tritonserver with explicit model control; installs it into the user cache where it is missing.

    `repository` is made when it does not exist. `TRITON_BIN` names another tritonserver, started with its own
    backends. The server is ready once `GET ready_url(ports, address)` answers 200.

    Raises:
        LocalPlaneError: no uv, no Python that the server's backend fits, or the wheels cannot be installed.
    """
    repository.mkdir(parents=True, exist_ok=True)
    flags = _flags(ports, repository, address)
    if override := os.environ.get("TRITON_BIN"):
        return LaunchSpec((override, *flags))
    environment = install(say)
    site = _site_packages(environment)
    libraries = (site / "nvidia_pytriton.libs", _python_library_folder(environment))
    return LaunchSpec(
        (
            str(site / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
            *flags,
            f"--backend-directory={environment / 'backends'}",
        ),
        {
            # the backend's stub embeds the Python that it finds first on PATH
            "PATH": os.pathsep.join((str(environment / "bin"), os.environ.get("PATH", os.defpath))),
            "PYTHONPATH": str(site),
            "LD_LIBRARY_PATH": os.pathsep.join(str(folder) for folder in libraries if folder),
        },
    )


def ready_url(ports: Ports, address: str = LOOPBACK) -> str:
    """Answers 200 once the server takes requests."""
    return f"http://{address}:{ports.http}/v2/health/ready"


def install(say: Say) -> Path:
    """The environment with the server in the user cache, keyed by its versions; built when it is not there yet.

    Raises:
        LocalPlaneError: no uv, no Python that the server's backend fits, or the wheels cannot be installed.
    """
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "aarch64"):
        raise LocalPlaneError(
            f"{PYTRITON} has no wheel for {platform.system()} on {platform.machine()}; set TRITON_BIN to a tritonserver"
        )
    uv = uv_command()
    python, version = _fitting_python(uv)
    pins = "-".join(pin.replace("==", "") for pin in (PYTRITON, *PYTHON_BACKEND_NEEDS))
    environment = cache_directory() / "triton" / f"{pins}-py{version}"
    if environment.is_dir():
        return environment
    say("installing a Triton server, once for this version: about 100 MB to fetch")
    environment.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=environment.parent, prefix="building-") as folder:
        building = Path(folder) / "environment"
        _build(uv, python, version, building)
        try:
            building.rename(environment)
        except OSError:
            if not environment.is_dir():  # another process may have finished the same environment first
                raise
    return environment


def _flags(ports: Ports, repository: Path, address: str) -> tuple[str, ...]:
    return (
        f"--model-repository={repository}",
        "--model-control-mode=explicit",
        f"--http-address={address}",
        f"--http-port={ports.http}",
        f"--grpc-address={address}",
        f"--grpc-port={ports.grpc}",
        f"--metrics-address={address}",
        f"--metrics-port={ports.metrics}",
        "--exit-timeout-secs=5",
    )


def uv_command() -> list[str]:
    """How to call uv: from PATH, or the one that runs this process, or the one installed beside this Python.

    Raises:
        LocalPlaneError: there is none.
    """
    if found := shutil.which("uv") or os.environ.get("UV"):
        return [found]
    module = [sys.executable, "-m", "uv"]
    if subprocess.run([*module, "--version"], capture_output=True, check=False).returncode == 0:
        return module
    raise LocalPlaneError(
        "uv is needed to install wheels beside Parkade's own; put it on PATH, for example by pip install uv"
    )


def _fitting_python(uv: list[str]) -> tuple[str, str]:
    """An interpreter of this machine that a stub fits: the running one, or another that uv finds."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    for version in sorted(STUBS, key=lambda version: version != running):
        request = [*uv, "python", "find", "--no-project", "--no-python-downloads", version]
        found = subprocess.run(request, capture_output=True, text=True, check=False)
        if found.returncode == 0:
            return found.stdout.strip(), version
    raise LocalPlaneError(
        f"the Triton wheel's Python backend needs Python {' or '.join(STUBS)}, and this machine has neither;"
        " install one of them, or set TRITON_BIN to a tritonserver"
    )


def _build(uv: list[str], python: str, version: str, environment: Path) -> None:
    # relocatable: it is built under another name and renamed when complete
    _run([*uv, "venv", "--quiet", "--no-project", "--relocatable", "--python", python, str(environment)])
    pip = [*uv, "pip", "install", "--quiet", "--only-binary=:all:", "--python", str(environment / "bin" / "python")]
    _run([*pip, "--no-deps", PYTRITON])
    _run([*pip, *PYTHON_BACKEND_NEEDS])
    server = _site_packages(environment) / "pytriton" / "tritonserver"
    backend = environment / "backends" / "python"
    shutil.copytree(server / "backends" / "python", backend)
    shutil.copy2(server / "python_backend_stubs" / version / "triton_python_backend_stub", backend)


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise LocalPlaneError(
            f"the Triton server cannot be installed: {' '.join(lines[-6:])};"
            " check that the package index is reachable, or set TRITON_BIN to a tritonserver"
        )


def _site_packages(environment: Path) -> Path:
    return next((environment / "lib").glob("python3.*")) / "site-packages"


def _python_library_folder(environment: Path) -> Path | None:
    """Folder of the shared libpython that the stub links, where it is not the system's own."""
    python = environment / "bin" / "python"
    library = Path(os.path.realpath(python)).parent.parent / "lib"
    name = f"libpython{_site_packages(environment).parent.name.removeprefix('python')}.so.1.0"
    if (library / name).exists():
        return library
    system = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib") / name
    return system.parent if system.exists() else None
