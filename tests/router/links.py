"""Links that are slow, lose segments or go silent, and cars in a process of their own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from parkade.local.pki import Authority
from router.places import Fleet


@dataclass
class Relay:
    """A process that passes bytes on between whoever dials it and an address.

    Stopped, it is a half-open link: both ends see a connection that stands and takes what they send.
    """

    process: "subprocess.Popen[str]"
    address: str

    def go_silent(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def recover(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def relay(binary: Path, address: str, delay: float = 0.0, loss: float = 0.0, stall: float = 0.1) -> Iterator[Relay]:
    """`delay` seconds each way; a segment is lost with probability `loss`, and stalls its direction by `stall`."""
    command = [binary, "relay", "--target", address, "--delay-millis", 1e3 * delay, "--loss", loss,
               "--stall-millis", 1e3 * stall]  # fmt: skip
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    try:
        yield Relay(process, json.loads(process.stdout.readline())["address"])
    finally:
        end(process)


@contextlib.contextmanager
def car_process(authority: Authority, address: str, name: str, mood: str = "honest") -> Iterator[subprocess.Popen]:
    """A car that dials `address` from a process of its own."""
    command = [sys.executable, "-m", "router.links", authority.directory, address, name, mood]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, env=environment)
    try:
        yield process
    finally:
        process.stdin.close()
        end(process)


def end(process: subprocess.Popen) -> None:
    """By its own id, whatever state it is in."""
    process.kill()
    process.wait(10)
    if process.stdout:
        process.stdout.close()


def main(folder: str, address: str, name: str, mood: str) -> None:
    """Serve until standard input ends."""
    fleet = Fleet(Authority(Path(folder)), lambda: address)
    car = fleet.car(name)
    car.app.mood = mood
    car.join()
    sys.stdin.read()
    fleet.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
