"""Free ports below the ephemeral range, where no outgoing connection can take them before a server binds."""

import random
import socket
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
