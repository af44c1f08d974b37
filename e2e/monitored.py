"""A real Prometheus beside the running world, reading its three kinds of processes every second."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from parkade.local.ports import choose
from parkade.local.processes import LaunchSpec
from world import World

SCRAPE_SECONDS = 1
INTERVAL = "15s"
"""For rates, as Grafana would choose by the interval of scraping."""


class Prometheus:
    """Asks one server."""

    def __init__(self, client: httpx.Client) -> None:
        self.url = str(client.base_url)
        self._client = client

    def get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 -- JSON of several shapes
        """What an address of the HTTP API answers."""
        answer = self._client.get(f"/api/v1/{path}", params=parameters)
        assert answer.is_success, answer.text
        return answer.json()["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Series of an expression as it is now."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def await_that(self, what: str, expression: str, seconds: float = 60.0) -> None:
        """Wait until an expression has series."""
        deadline = time.monotonic() + seconds
        while not self.query(expression):
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
            time.sleep(0.5)


def targets(world: World) -> dict[str, str]:
    """Where each process answers /metrics."""
    names = {"operator": "operator-metrics", "carlet": "carlet-metrics", "router": "router-metrics"}
    return {job: f"127.0.0.1:{world.plane.ports[port]}" for job, port in names.items()}


@contextmanager
def watching(world: World, program: Path, rule_file: Path) -> Iterator[Prometheus]:
    """Run Prometheus with the chart's rules until the block ends."""
    directory = world.plane.data / "prometheus"
    directory.mkdir()
    configuration = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": "1s"},
        "rule_files": [str(rule_file)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in targets(world).items()
        ],
    }
    (directory / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    address = f"127.0.0.1:{choose(1)[0]}"
    spec = LaunchSpec(
        (
            str(program), f"--config.file={directory / 'prometheus.yaml'}", f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={address}", "--log.level=warn",
        )
    )  # fmt: skip
    world.plane.ensure("prometheus", spec)
    try:
        world.plane.await_url("prometheus", f"http://{address}/-/ready")
        with httpx.Client(base_url=f"http://{address}", timeout=30, trust_env=False) as client:
            yield Prometheus(client)
    finally:
        world.plane.processes.stop("prometheus")
