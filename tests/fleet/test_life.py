"""A car's life in a fleet, with every real process: enrolled, renewed, asleep too long, revoked, forgotten."""

import os
import signal
import threading
import time
from typing import Self

import httpx
import numpy as np
import pytest

from fleet.carplane import WORKLOAD, until
from fleet.town import LIFE_SECONDS, REAL_IDS, files_with, found_in

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(480)]


class Caller(threading.Thread):
    """Asks the router again and again, and remembers what was not answered."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.answered = 0
        self.failed: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        row = np.ones(3, dtype=np.float32).tolist()
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": row}]}
        with httpx.Client(trust_env=False, timeout=20.0) as http:
            while not self.stopping.wait(0.05):
                answer = http.post(f"{self.url}/v2/models/{WORKLOAD}/infer", json=body)
                if answer.status_code == httpx.codes.OK:
                    self.answered += 1
                else:
                    self.failed.append(answer.text)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.join()


def test_a_car_lives_in_its_fleet_and_leaves_no_name_anywhere(town):
    plane = town.plane
    town.enrol("car-a")
    town.drive("car-a")
    town.drive_and_enrol("car-b")
    until("both cars are connected", lambda: all(town.connected(car) for car in REAL_IDS))
    until("a car holds the model", lambda: any(town.holds(car) for car in REAL_IDS))
    holder = next(car for car in REAL_IDS if town.holds(car))
    other = next(car for car in REAL_IDS if car != holder)
    url = f"http://127.0.0.1:{plane.ports['router-http']}"
    until("requests are answered", lambda: httpx.get(f"{url}/v2/models/{WORKLOAD}/ready", trust_env=False).is_success)

    # renewed over the link, and nothing that runs notices
    before, fetched = town.enrolment(holder)["expires"], town.status(holder)["used"]["bytesDownloaded"]
    with Caller(url) as caller:
        until("credentials are renewed twice", lambda: town.enrolment(holder)["expires"] > before + LIFE_SECONDS)
        until("the link is back", lambda: town.connected(holder))
    assert caller.answered > 20
    assert caller.failed == []
    assert town.holds(holder)
    assert town.status(holder)["used"]["bytesDownloaded"] == fetched
    with httpx.Client(trust_env=False) as http:
        metrics = http.get(f"http://127.0.0.1:{plane.ports['carlet-metrics']}/metrics").text
    assert 'parkade_fleet_credentials_total{reason="",way="link"}' in metrics

    # asleep past the end of its credentials
    process = town.pids[other]
    os.kill(process, signal.SIGSTOP)
    try:
        time.sleep(max(0.0, town.enrolment(other)["expires"] - time.time()) + 1.0)
    finally:
        os.kill(process, signal.SIGCONT)
    until("it is back by its key", lambda: "by its key" in plane.processes.log_tail(other) and town.connected(other))

    # revoked
    town.fleet("revoke", "--vehicle", town.names[holder])
    until("its replica went to the other car", lambda: town.holds(other), 20)
    until("its link is closed", lambda: not town.connected(holder))
    until("its fleet says why", lambda: "revoked" in plane.processes.log_tail(holder))
    until("requests are answered", lambda: httpx.get(f"{url}/v2/models/{WORKLOAD}/ready", trust_env=False).is_success)

    # nothing personal anywhere
    personal = [*REAL_IDS.values(), *town.names.values()]
    assert found_in(town.seen(), personal) == []
    assert [name for real in REAL_IDS.values() for name in files_with(plane.directory, real)] == []

    # forgotten
    town.fleet("forget", "-", stdin=REAL_IDS[holder])
    plane.processes.stop(holder)
    forgotten = town.names[holder]
    assert found_in(town.seen(), [forgotten]) == []
    left = [name for name in files_with(plane.directory, forgotten) if not name.startswith(str(town.state(holder)))]
    assert left == []
    (town.state(holder) / "enrolment.json").unlink()
    assert town.enrol(holder) != forgotten
