"""Models on their way to real cars: out of a bucket of S3, ahead of need, and from carlet when the bucket is gone."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from benchmarks.fleet.cutting import CuttingRelay
from fleet.bucket import KEY, PLACE, REGION, SECRET, Bucket
from fleet.carplane import WORKLOAD, until
from fleet.town import Town
from go_tools import go_tool
from parkade.errors import SourceUnavailable
from parkade.vehicle.pace import Pace
from parkade.vehicle.store import Store
from parkade.vehicle.tls import Certificates
from parkade.vehicle.transfer import Roads
from vehicle.peers import Shelf, handler_of, over_tls
from vehicle.test_kills import a_model

# The first test builds the S3 server where the cache is empty.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

CONTENT = a_model(1_500_000)
RATE = "512Ki"
CARS = ("car-a", "car-b", "car-c", "car-far", "car-late")
PATIENCE = 180.0
"""Seconds on a busy machine. A bucket that is gone is believed in for some seconds, and a car waits up to a minute
between two tries."""


@pytest.fixture(scope="module")
def bucket_program(repository_root) -> Path:
    """VERSITYGW_BIN, or the binary in the user's cache; the first build takes some minutes on 2 cores."""
    return go_tool(repository_root, "s3", "github.com/versity/versitygw/cmd/versitygw")


class Seaside(Town):
    """A town whose carlet sends cars to a bucket, over a relay; and wants two further cars ready for each replica."""

    def __init__(self, directory: Path, program: Path) -> None:
        super().__init__(directory, "24h")
        self.plane.content = CONTENT
        self.real_ids = {car: f"5YJ3E1EA7KF3170{number:02}" for number, car in enumerate(CARS)}
        self.bucket = Bucket(self.plane, program)
        self.digest = self.bucket.put(CONTENT)
        self.bucket.start()
        self.relay = CuttingRelay(self.bucket.port)
        self.host = f"127.0.0.1:{self.relay.port}"
        self.plane.carlet_flags = {"models-elsewhere": f"s3+https://{self.host}/{PLACE}", "stage-percent": 200}

    def join(self, car: str, **more: object) -> None:
        self.enrol(car)
        self.drive(car, **more)

    def on_disk(self, car: str) -> int:
        """Bytes of the model that a car has."""
        names = (self.digest, f"{self.digest}.part")
        found = (self.state(car) / "models" / name for name in names)
        return max((path.stat().st_size for path in found if path.exists()), default=0)

    def has(self, car: str) -> bool:
        return (self.state(car) / "models" / self.digest).exists()

    def downloaded(self, car: str) -> int:
        return int(self.status(car)["used"]["bytesDownloaded"])

    def served_by_carlet(self) -> int:
        with httpx.Client(trust_env=False) as http:
            text = http.get(f"http://127.0.0.1:{self.plane.ports['carlet-metrics']}/metrics").text
        return int(float(text.split("\nparkade_model_bytes_total ")[1].split()[0]))

    def answers(self) -> bool:
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
        with httpx.Client(trust_env=False, timeout=20.0) as http:
            url = f"http://127.0.0.1:{self.plane.ports['router-http']}/v2/models/{WORKLOAD}/infer"
            answer = http.post(url, json=body)
        return answer.is_success and answer.json()["outputs"][0]["data"] == [-1.0, -2.0, -3.0]


@pytest.fixture(scope="module")
def town(tmp_path_factory, repository_root, bucket_program) -> Iterator[Seaside]:
    town = Seaside(tmp_path_factory.mktemp("town"), bucket_program)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"ACCESS_KEY_ID": KEY, "SECRET_ACCESS_KEY": SECRET, "REGION": REGION}.items():
            patch.setenv(f"AWS_{name}", value)
        patch.setenv("SSL_CERT_FILE", str(town.plane.authority.certificate))  # whom carlet believes outside
        try:
            town.start(repository_root)
            yield town
        finally:
            town.plane.stop()
            town.relay.close()


def test_a_car_fetches_from_the_bucket_and_goes_on_after_its_connection_is_cut(town):
    town.join("car-a", **{"download-rate": RATE})
    log = town.plane.processes.log("car-a")
    until("it downloads", lambda: town.on_disk("car-a") > 0, PATIENCE)
    for _ in range(20):
        assert not town.has("car-a"), "it was cut in the middle"
        if "interrupted" in log.read_text():
            break
        town.relay.pass_on(passing=False)
        time.sleep(0.7)  # a piece is asked for, and does not come
        town.relay.cut()
        town.relay.pass_on(passing=True)
        time.sleep(0.1)
    assert "interrupted" in log.read_text()
    until("it serves", lambda: town.holds("car-a"), PATIENCE)
    assert town.downloaded("car-a") == len(CONTENT), "no byte came twice"
    assert town.served_by_carlet() == 0
    until("requests are answered", town.answers, PATIENCE)


def test_the_bucket_gives_nothing_to_a_signature_that_is_changed_or_expired(town):
    order = json.loads((town.state("car-a") / "desired.json").read_text())["assignments"][0]
    other = town.bucket.put(b"another file")
    now = datetime.now(UTC)
    with httpx.Client(verify=Certificates(town.plane.authority.certificate).context(), trust_env=False) as http:
        answer = http.get(order["url"])
        assert answer.status_code == httpx.codes.TEMPORARY_REDIRECT
        signed = answer.headers["location"]
        assert f"X-Amz-Credential={KEY}%2F" in signed
        assert SECRET not in signed
        part = http.get(signed, headers={"range": "bytes=1000-1999"})
        assert (part.status_code, part.content) == (206, CONTENT[1000:2000])
        assert part.headers["content-range"] == f"bytes 1000-1999/{len(CONTENT)}"
        last = "0" if signed[-1] != "0" else "1"
        expired = town.bucket.presigned(town.host, town.digest, now - timedelta(hours=2), 3600)
        for spoiled in (
            signed[:-1] + last,
            signed.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200"),
            signed.replace(town.digest, other),
            signed.partition("?")[0],
            expired,
        ):
            assert spoiled != signed
            assert http.get(spoiled).status_code == httpx.codes.FORBIDDEN, spoiled
        good = town.bucket.presigned(town.host, town.digest, now, 3600)
        assert http.get(good).content == CONTENT, "it was the age of the other that was refused"
    a_car_is_refused_by_an_expired_url_and_keeps_nothing(town, expired, good)


def a_car_is_refused_by_an_expired_url_and_keeps_nothing(town: Seaside, expired: str, good: str) -> None:
    pair = town.plane.authority.issue("shelf", common_name="shelf")
    trusted = Certificates(town.plane.authority.certificate)
    roads = Roads(trusted.context, trusted.strangers, Pace(), lambda _: None)
    store, shelf = Store(town.plane.data / "a-car" / "models", 10**8, roads, "boot"), Shelf()
    with over_tls(None, handler_of(shelf), files=(pair.certificate, pair.key)) as shelf.port:
        for shelf.elsewhere in (expired, good):
            fetching = store.fetch(town.digest, len(CONTENT), shelf.url(town.digest), frozenset())
            if shelf.elsewhere == good:
                assert asyncio.run(fetching).read_bytes() == CONTENT
                break
            with pytest.raises(SourceUnavailable, match="403"):
                asyncio.run(fetching)
            assert store.held() == ()


def test_a_file_is_ready_on_further_cars_before_any_order_and_a_replacement_downloads_nothing(town):
    """Of 1 replica, two further cars on WiFi get the file, and none that has another link."""
    for car in ("car-b", "car-c"):
        town.join(car)
    town.join("car-far", link="Starlink")
    until("further cars have the file", lambda: town.has("car-b") and town.has("car-c"), PATIENCE)
    until("the other car is connected", lambda: town.connected("car-far"), PATIENCE)
    for car in ("car-b", "car-c"):
        found = town.status(car)
        assert (found["assignments"], found["eligible"]) == ([], True)
        assert town.downloaded(car) == len(CONTENT)
    assert town.holds("car-a")
    town.owner("unplug", "car-a")
    until("a replacement is ready", lambda: town.holds("car-b") or town.holds("car-c"), PATIENCE)
    until("requests are answered", town.answers, PATIENCE)
    assert [town.downloaded(car) for car in ("car-b", "car-c")] == [len(CONTENT)] * 2
    assert not town.holds("car-a")
    assert town.on_disk("car-far") == 0
    assert town.downloaded("car-far") == 0
    assert town.served_by_carlet() == 0


def test_carlet_serves_the_file_itself_when_the_bucket_is_gone(town):
    town.plane.processes.kill("bucket")
    town.relay.cut()
    town.join("car-late")
    until("it has the file", lambda: town.has("car-late"), PATIENCE)
    assert town.served_by_carlet() == town.downloaded("car-late") == len(CONTENT)
