"""Free ports below the ephemeral range, where no outgoing connection can take them before a server binds."""

import json
import random
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

LOWEST: Final = 20000
DEFAULT_EPHEMERAL_START: Final = 32768
"""Linux' default `net.ipv4.ip_local_port_range`."""


def _ephemeral_start() -> int:
    try:
        start = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        return DEFAULT_EPHEMERAL_START
    return start if start > LOWEST + 1000 else DEFAULT_EPHEMERAL_START


def is_free(port: int) -> bool:
    """Tell whether a server could bind this port on loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(count: int) -> list[int]:
    """Choose `count` different free ports at random, so that two planes started at once rarely meet."""
    candidates = random.sample(range(LOWEST, _ephemeral_start()), k=_ephemeral_start() - LOWEST)
    chosen: list[int] = []
    for port in candidates:
        if len(chosen) == count:
            break
        if is_free(port):
            chosen.append(port)
    return chosen


def keep(file: Path, names: Sequence[str], *, running: Sequence[str]) -> dict[str, int]:
    """The ports of a plane by name, chosen at first use and kept in a file, so that its addresses stay true.

    While nothing of the plane runs, a kept port that another program has taken meanwhile is chosen anew.
    """
    kept: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    wanted = [name for name in names if name not in kept or not (running or is_free(kept[name]))]
    if wanted:
        kept |= dict(zip(wanted, choose(len(wanted)), strict=True))
        file.write_text(json.dumps(kept, indent=1))
    return kept
