"""Where files live: the user's cache for what can be built again, the state directory for what cannot."""

import os
from pathlib import Path


def cache_directory() -> Path:
    """`$XDG_CACHE_HOME/parkade`: binaries and environments keyed by version; safe to delete."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "parkade"


def state_directory() -> Path:
    """`$XDG_STATE_HOME/parkade`: the default directory of `parkade up`."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "parkade"


def source_root() -> Path | None:
    """The checkout this package runs from, or None when it was installed from a wheel."""
    root = Path(__file__).resolve().parents[3]
    return root if (root / "kernels" / "Cargo.toml").is_file() else None
