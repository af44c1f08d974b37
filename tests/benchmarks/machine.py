"""What the figures were measured on."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

PACKAGES = ("parkade", "numpy", "highspy", "ortools", "scipy")


def describe() -> Mapping[str, object]:
    """Cores, processor, memory in GiB and versions; no name of the machine."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": _processor(),
        "memoryGiB": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
    }


def hardware(machine: Mapping[str, object]) -> str:
    """For the docs."""
    return "{cores} cores of {processor}, {memoryGiB} GiB, {system}".format(**machine)


def software(machine: Mapping[str, object]) -> str:
    """For the docs."""
    packages = (f"{package} {machine[package]}" for package in PACKAGES[1:])
    return ", ".join((f"Python {machine['python']}", *packages))


def _processor() -> str:
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "an unnamed processor"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
