"""Free ports below the ephemeral range, where no outgoing connection can take them before a server binds.

Between the choice of a port and its server's bind, another process could choose it too. So a chosen port is claimed by
a lock on the byte of that number of one file in the user's cache, for as long as the process that chose it lives: by
then its servers listen, or nobody needs the port any more. The system ends the locks of a process however it ends.
"""

import fcntl
import functools
import json
import os
import random
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from parkade.errors import LocalPlaneError
from parkade.local.paths import cache_directory

LOWEST: Final = 20000
DEFAULT_EPHEMERAL_START: Final = 32768
"""Linux' default `net.ipv4.ip_local_port_range`."""
CLAIMS_FILE: Final = "ports.lock"

_claimed: set[int] = set()
"""Ports that this process has claimed: a lock keeps out only other processes."""


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


@functools.cache
def _claims() -> int:
    """The descriptor of the file of claims; it stays open, as closing any descriptor of a file ends all its locks."""
    file = cache_directory() / CLAIMS_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _claim(port: int) -> bool:
    """Claim a port for this process; whether no other process has."""
    claims = _claims()
    try:
        fcntl.lockf(claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):  # either is what POSIX says of another's lock
        return False
    _claimed.add(port)
    return True


def _release(port: int) -> None:
    fcntl.lockf(_claims(), fcntl.LOCK_UN, 1, port)
    _claimed.discard(port)


def choose(count: int) -> list[int]:
    """Choose `count` different ports that are free, and that no other choice is given while this process lives.

    Raises:
        LocalPlaneError: so many are not free.
    """
    candidates = random.sample(range(LOWEST, _ephemeral_start()), k=_ephemeral_start() - LOWEST)
    chosen: list[int] = []
    for port in candidates:
        if len(chosen) == count:
            return chosen
        if port not in _claimed and is_free(port) and _claim(port):
            chosen.append(port)
    for port in chosen:
        _release(port)
    raise LocalPlaneError(
        f"{count} free ports are wanted from {LOWEST} to {_ephemeral_start() - 1}, and there are {len(chosen)}; "
        "stop programs that listen there"
    )


def keep(file: Path, names: Sequence[str], *, running: Sequence[str]) -> dict[str, int]:
    """The ports of a plane by name, chosen at first use and kept in a file, so that its addresses stay true.

    While nothing of the plane runs, a kept port that another program has taken or chosen meanwhile is chosen anew.
    """
    kept: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    wanted = [
        name for name in names if name not in kept or not (running or (is_free(kept[name]) and _claim(kept[name])))
    ]
    if wanted:
        kept |= dict(zip(wanted, choose(len(wanted)), strict=True))
        file.write_text(json.dumps(kept, indent=1))
    return kept
