"""A real Triton server on free ports."""

import os
import subprocess
import time
from pathlib import Path
from typing import Self

import httpx

import plain
from parkade.local import ports, triton

START_SECONDS = 60


class LocalTriton:
    """One server, stopped and killed by the id of its process; tests of a room extend it by what they put in."""

    def __init__(self, folder: Path, repository: Path | None = None) -> None:
        self.ports = triton.Ports(*ports.choose(3))
        self.http, self.grpc = f"127.0.0.1:{self.ports.http}", f"127.0.0.1:{self.ports.grpc}"
        self.repository = repository or folder / "repository"
        self.log = folder / "triton.log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, *flags: str) -> None:
        """Returns when it is ready."""
        spec = triton.command(self.ports, self.repository, print)
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                (*spec.argv, *flags), env={**os.environ, **spec.env}, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers("/v2/health/ready"):
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            assert time.monotonic() < deadline, "Triton is not ready in time"
            time.sleep(0.05)

    def answers(self, path: str) -> bool:
        """Whether a GET of this path succeeds."""
        try:
            return plain.get(f"http://{self.http}{path}", timeout=2).is_success
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait(10)

    def stop(self) -> None:
        """So that it takes its shared memory with it, which a killed one leaves behind."""
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
