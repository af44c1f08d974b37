"""What the agent must remember over a restart, as small JSON files in its state directory."""

import json
import secrets
from pathlib import Path
from typing import Any

from parkade.errors import InvalidInput
from parkade.vehicle import durable


class Notebook:
    """Files that are either whole or not there: each is written beside its name and renamed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise InvalidInput(f"the state directory {directory} cannot be made: {error}; choose another") from error

    def path(self, name: str) -> Path:
        """Return where a file of this name is."""
        return self._directory / name

    def write(self, name: str, payload: bytes) -> None:
        """Write a file that only the agent's user can read."""
        durable.write(self.path(name), payload)

    def write_json(self, name: str, value: object) -> None:
        """Write a value as JSON."""
        self.write(name, json.dumps(value, indent=1).encode())

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, or None where there is none."""
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            return None

    def read_json(self, name: str) -> dict[str, Any]:
        """Return a JSON object; empty where there is none or it is torn."""
        try:
            value = json.loads(self.read(name) or b"{}")
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def token(self) -> str:
        """Return the local API's secret, made at the first call; whoever can read the directory is the owner."""
        held = self.read("token")
        if held is None:
            held = secrets.token_urlsafe(32).encode()
            self.write("token", held)
        return held.decode().strip()
