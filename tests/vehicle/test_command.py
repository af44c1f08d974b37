"""`parkade vehicle` as an owner types it: a real agent process, asked by the command line."""

import json
import os
import signal
import stat
import subprocess
import sys
import time

import httpx
import pytest
from click.testing import CliRunner

from parkade.errors import InvalidInput
from parkade.vehicle.command import vehicle
from vehicle.peers import free_port

MAIN = "import sys; from parkade.cli import main; sys.exit(main())"


def run(*words: str):
    """The command in this process; its errors are values."""
    return CliRunner().invoke(vehicle, list(words))


@pytest.fixture(scope="module")
def car(tmp_path_factory, pki):
    directory = tmp_path_factory.mktemp("car")
    contract = directory / "contract.yaml"
    contract.write_text("requirePluggedIn: true\nminStateOfCharge: 50\nlinks: [WiFi]\ndataCapPerDay: 2Gi\n")
    files = pki.vehicle
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "vehicle", "run", "--id", "v-1", "--fleet", "owners-ca", "--hardware", "hw4",
             "--nats", f"nats://127.0.0.1:{free_port()}", "--ca", str(files.ca), "--key", str(files.key),
             "--state-dir", str(directory / "state"), "--contract", str(contract)],
            env=os.environ | {"PARKADE_VEHICLE_CERT": str(files.cert)}, stderr=log,
        )  # fmt: skip
    deadline = time.monotonic() + 30
    while not (directory / "state" / "api.json").exists():
        assert process.poll() is None, (directory / "log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield directory
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert "Traceback" not in (directory / "log").read_text()


def ask(car, *words: str) -> dict:
    done = run(*words, "--state-dir", str(car / "state"), "-o", "json")
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


def test_an_owner_sees_and_decides(car):
    found = ask(car, "status")
    assert (found["eligible"], found["assignments"], found["used"]["requests"]) == (True, [], 0)
    assert found["fleetLink"]["connected"] is False
    assert found["notEnforced"] == []
    assert ask(car, "pause")["reason"] == "Paused"
    assert ask(car, "resume")["eligible"] is True
    unplugged = ask(car, "unplug")
    assert (unplugged["leaving"], unplugged["reason"]) == (True, "Leaving")
    plugged = ask(car, "plug")
    assert plugged["eligible"] is True
    assert len(plugged["forecast"]["leavingWithin"]) == 3
    assert stat.S_IMODE((car / "state" / "departures.json").stat().st_mode) == 0o600
    assert ask(car, "forget-history")["forecast"]["stays"] == 0
    assert ask(car, "tighten", "--min-soc", "85")["reason"] == "ChargeTooLow"
    refused = run("tighten", "--min-soc", "20", "--state-dir", str(car / "state"))
    assert isinstance(refused.exception, InvalidInput)
    assert "write 50 or more" in str(refused.exception)
    assert ask(car, "tighten", "--min-soc", "60", "--quiet-hours", "22:00-06:00")["contract"]["minStateOfCharge"] == 60
    shown = run("status", "--state-dir", str(car / "state")).stdout
    assert "v-1 (owners-ca, cell none yet)" in shown


def test_signals_may_come_by_the_local_api_and_only_with_the_token(car):
    place = json.loads((car / "state" / "api.json").read_text())["api"]
    token = car / "state" / "token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert place.startswith("127.0.0.1:")
    headers = {"authorization": f"Bearer {token.read_text()}"}
    with httpx.Client(base_url=f"http://{place}", trust_env=False) as http:
        assert http.get("/v1/status").status_code == 401
        assert http.post("/v1/unplug", headers={"authorization": "Bearer wrong"}).status_code == 401
        found = http.post("/v1/signals", headers=headers, json={"charging": True, "link": "WiFi"}).json()
        assert (found["state"], found["eligible"]) == ("Charging", True)
        assert http.post("/v1/signals", headers=headers, json={"soc": 400}).status_code == 400
        assert http.post("/v1/signals", headers=headers, content=b"[]").status_code == 400
        assert http.get("/v1/nothing", headers=headers).status_code == 404


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--api", "0.0.0.0:9000"], "is not local"),
        (["--memory", "8 GB"], "not a quantity"),
        (["--beat", "1d"], "not a duration"),
        (["--id", "a.*"], "choose another name"),
        (["--signals", "/nonexistent"], "cannot be read"),
        (["--ca", "/nonexistent"], "enrol the vehicle again"),
    ],
)
def test_a_flag_that_cannot_be_meant_is_refused_in_one_sentence(tmp_path, pki, words, sentence):
    files = pki.vehicle
    flags = ["--id", "v-1", "--fleet", "f", "--hardware", "hw4", "--nats", "nats://127.0.0.1:1", "--ca", str(files.ca),
             "--cert", str(files.cert), "--key", str(files.key), "--state-dir", str(tmp_path)]  # fmt: skip
    done = run("run", *flags, *words)
    assert isinstance(done.exception, InvalidInput)
    assert sentence in str(done.exception)


def test_asking_where_no_agent_is_says_so_in_one_line(tmp_path):
    words = [sys.executable, "-c", MAIN, "vehicle", "status", "--state-dir", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("parkade: no agent keeps its state")
    assert "Traceback" not in done.stderr
