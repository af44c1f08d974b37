"""An unfinished artifact on disk, and how much of it may be trusted after whatever happened.

A process that is killed loses nothing of what it wrote. A machine that loses power loses what was not synced, or keeps
a file of the right length with zeros at its end. So beside `<digest>.part` there is `<digest>.mark`: how many bytes
were synced, and in which life of the machine. In the same life the file's length counts, in another the mark.
"""

import json
import os
from pathlib import Path
from typing import BinaryIO, Final

from parkade.vehicle import durable

MARK_EVERY: Final = 8 * 2**20
"""Bytes between marks; a power cut costs at most these."""


class Part:
    """`<digest>.part` of one artifact; one transfer at a time writes to it."""

    def __init__(self, directory: Path, digest: str, boot: str) -> None:
        self.path = directory / f"{digest}.part"
        self._whole = directory / digest
        self._mark = directory / f"{digest}.mark"
        self._boot = boot
        self._file: BinaryIO | None = None
        self._marked = 0
        self.offset = 0
        """Bytes that are there and may be trusted."""

    def resume(self, size: int) -> int:
        """Find out where to go on, drop what cannot be trusted, and return the offset; `size` is that of the whole."""
        self.path.touch()
        held = self.path.stat().st_size
        boot, marked = self._read_mark()
        trusted = held if boot == self._boot and boot else min(held, marked)
        self.offset = trusted if trusted <= size else 0
        if held != self.offset:
            os.truncate(self.path, self.offset)
        self._marked = min(marked, self.offset)
        self._write_mark(self._marked)  # of this life of the machine, before any byte of it
        return self.offset

    def write(self, chunk: bytes) -> None:
        """Append; what is written is the system's at once, and a killed process loses none of it."""
        if self._file is None:
            self._file = self.path.open("r+b", buffering=0)
            self._file.seek(self.offset)
        view = memoryview(chunk)
        while view:
            written = self._file.write(view)
            self.offset += written
            view = view[written:]

    def restart(self) -> None:
        """Begin at the first byte again."""
        self.close()
        self._write_mark(0)
        os.truncate(self.path, 0)
        self.offset = self._marked = 0

    def due(self) -> bool:
        """Whether so much came since the last mark that it is time for another."""
        return self.offset - self._marked >= MARK_EVERY

    def mark(self) -> None:
        """Sync what has come and write down that it is there; slow, for a thread."""
        offset = self.offset
        durable.sync(self.path)
        self._write_mark(offset)
        self._marked = offset

    def finish(self) -> Path:
        """Give the verified file its name; its bytes are on disk since the last mark. Slow, for a thread."""
        self.close()
        durable.rename(self.path, self._whole)
        self._mark.unlink(missing_ok=True)
        return self._whole

    def remove(self) -> None:
        """Drop all of it."""
        self.close()
        self.path.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)
        self.offset = self._marked = 0

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write_mark(self, offset: int) -> None:
        durable.write(self._mark, json.dumps({"boot": self._boot, "bytes": offset}).encode())

    def _read_mark(self) -> tuple[str, int]:
        try:
            found = json.loads(self._mark.read_bytes())
            boot, marked = found["boot"], found["bytes"]
        except (OSError, ValueError, KeyError, TypeError):
            return "", 0
        return (boot, max(marked, 0)) if isinstance(boot, str) and type(marked) is int else ("", 0)
