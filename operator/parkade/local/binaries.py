"""The programs of a local plane: upstream servers built once as Go tools, Parkade's own built from this checkout."""

import functools
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parkade.errors import LocalPlaneError
from parkade.local.paths import cache_directory, source_root

Say = Callable[[str], None]
"""Shows one line of progress."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One upstream program, a `tool` line of `e2e/controlplane/go.mod`."""

    name: str
    package: str
    minutes: float
    """About how long a cold build takes on 2 cores."""


TOOLS: Final = (
    Tool("nats-server", "github.com/nats-io/nats-server/v2", 0.5),
    Tool("etcd", "go.etcd.io/etcd/server/v3", 0.5),
    Tool("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", 4),
    Tool("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", 1),
    Tool("kubectl", "k8s.io/kubernetes/cmd/kubectl", 1),
)


@functools.cache
def upstream(name: str, say: Say) -> Path:
    """Path of an upstream program; builds it into the user cache when it is not there yet.

    On PATH, kubectl is preferred. The cache is keyed by the module files, so a new version is built beside the old.

    Raises:
        LocalPlaneError: the build failed or there is no checkout to build from.
    """
    tool = next(tool for tool in TOOLS if tool.name == name)
    if name == "kubectl" and (found := shutil.which("kubectl")):
        return Path(found)
    module = _checkout(name) / "e2e" / "controlplane"
    binary = cache_directory() / "controlplane" / _key(module) / name
    if not binary.exists():
        say(f"building {name}, once for this version: about {tool.minutes:g} min on 2 cores")
        _go_build(module, tool.package, binary, flags=("-ldflags", f"-s -w {_version_flags(module)}"))
    return binary


@functools.cache
def carlet(say: Say) -> Path:
    """Path of `carlet`, built from this checkout; Go's own cache makes a second build instant."""
    if override := os.environ.get("CARLET_BIN"):
        return Path(override)
    module = _checkout("carlet") / "operator" / "carlet"
    binary = module / "bin" / "carlet"
    if not binary.exists():
        say("building carlet: about 3 min on 2 cores when nothing is cached")
    _go_build(module, "./cmd/carlet", binary)
    return binary


@functools.cache
def router(say: Say) -> Path:
    """Path of `parkade-router`, built from this checkout in release mode."""
    if override := os.environ.get("ROUTER_BIN"):
        return Path(override)
    workspace = _checkout("parkade-router") / "kernels"
    binary = workspace / "target" / "release" / "parkade-router"
    if not binary.exists():
        say("building parkade-router: about 4 min on 2 cores when nothing is cached")
    command = ["cargo", "build", "--quiet", "--locked", "--release", "-p", "parkade-router"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(workspace / "target")}
    _run(command, workspace, environment, "parkade-router")
    return binary


def _checkout(name: str) -> Path:
    root = source_root()
    if root is None:
        raise LocalPlaneError(f"{name} is built from Parkade's sources; run `parkade up` from a checkout")
    return root


def _key(module: Path) -> str:
    content = (module / "go.mod").read_bytes() + (module / "go.sum").read_bytes()
    return hashlib.sha256(content).hexdigest()[:12]


def _version_flags(module: Path) -> str:
    """Kubectl and helm refuse a server that calls itself v0.0.0-master."""
    required = (module / "go.mod").read_text().splitlines()
    version = next(line.split()[1] for line in required if line.strip().startswith("k8s.io/kubernetes v"))
    major, minor, _ = version.removeprefix("v").split(".", 2)
    package = "-X k8s.io/component-base/version"
    return f"{package}.gitVersion={version} {package}.gitMajor={major} {package}.gitMinor={minor}"


def _go_build(module: Path, package: str, binary: Path, flags: tuple[str, ...] = ()) -> None:
    binary.parent.mkdir(parents=True, exist_ok=True)
    partial = binary.with_name(f".{binary.name}.{os.getpid()}")
    command = ["go", "build", "-trimpath", *flags, "-o", str(partial), package]
    _run(command, module, {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}, binary.name)
    partial.replace(binary)


def _run(command: list[str], directory: Path, environment: dict[str, str], name: str) -> None:
    if shutil.which(command[0]) is None:
        raise LocalPlaneError(f"{name} needs `{command[0]}` to be built; install it and put it on PATH")
    started = time.monotonic()
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).splitlines()[-15:])
        took = time.monotonic() - started
        raise LocalPlaneError(f"{name} did not build ({took:.0f} s, `{' '.join(command)}`):\n{tail}")


if __name__ == "__main__":
    # For the Makefile: build what the tests start, and say in which directory it is.
    import sys

    for name in sys.argv[1:] or [tool.name for tool in TOOLS if tool.name != "kubectl"]:
        directory = upstream(name, say=lambda line: print(line, file=sys.stderr)).parent  # noqa: T201
    print(directory)  # noqa: T201
