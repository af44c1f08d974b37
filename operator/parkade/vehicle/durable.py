"""Writes that a power cut leaves either done or undone: the file first, then its name, then the directory."""

import os
from pathlib import Path


def write(path: Path, payload: bytes) -> None:
    """Write a file whole, readable by its owner alone; what was there stays until all of the new is on disk."""
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
    rename(fresh, path)


def rename(old: Path, new: Path) -> None:
    """Rename within a directory, for good."""
    old.replace(new)
    sync(new.parent)


def sync(path: Path) -> None:
    """Bring a file's bytes, or a directory's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
