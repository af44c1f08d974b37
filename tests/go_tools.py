"""Upstream programs that tests need, of Go modules under `e2e/`, built once for their version into the user's cache."""

import hashlib
import os
import subprocess
from pathlib import Path

from parkade.local.paths import cache_directory


def go_tool(root: Path, folder: str, package: str, *flags: str) -> Path:
    """<NAME>_BIN, or the program from the cache; builds it when it is not there.

    Args:
        root: the checkout.
        folder: the module under `e2e/` whose go.mod names the version.
        package: what to build; the program is called by its last part.
        flags: further ones of `go build`.
    """
    name = package.rpartition("/")[2]
    if override := os.environ.get(f"{name.upper()}_BIN"):
        return Path(override)
    module = root / "e2e" / folder
    key = hashlib.sha256((module / "go.mod").read_bytes() + (module / "go.sum").read_bytes()).hexdigest()[:12]
    binary = cache_directory() / folder / key / name
    if not binary.exists():
        binary.parent.mkdir(parents=True, exist_ok=True)
        partial = binary.with_name(f".{name}.{os.getpid()}")
        command = ["go", "build", "-trimpath", *flags, "-ldflags", "-s -w", "-o", str(partial), package]
        subprocess.run(command, cwd=module, check=True, env=os.environ | {"CGO_ENABLED": "0", "GOWORK": "off"})
        partial.replace(binary)
    return binary
