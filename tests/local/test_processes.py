import json
import sys
import time

import psutil
import pytest

from parkade.errors import LocalPlaneError
from parkade.local.processes import GRACE_SECONDS, LaunchSpec, ProcessTable

SLEEPER = LaunchSpec((sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"))


@pytest.fixture
def table(tmp_path):
    table = ProcessTable(tmp_path / "processes.json", tmp_path / "logs")
    yield table
    for name in table.names():
        table.stop(name)


def test_a_later_command_finds_and_stops_what_an_earlier_one_started(table, tmp_path):
    pid = table.start("sleeper", SLEEPER)
    later = ProcessTable(tmp_path / "processes.json", tmp_path / "logs")
    assert later.is_running("sleeper")
    later.stop("sleeper")
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert later.names() == []


def test_kill_keeps_the_record_and_restart_uses_it(table):
    first = table.start("sleeper", SLEEPER)
    table.kill("sleeper")
    assert not table.is_running("sleeper")
    assert table.restart("sleeper") != first
    assert table.is_running("sleeper")


def test_a_frozen_process_does_nothing_until_it_is_thawed_and_can_be_stopped(table):
    counts = "import time\nwhile True: print('tick', flush=True); time.sleep(0.01)"
    pid = table.start("clock", LaunchSpec((sys.executable, "-c", counts)))
    _grows(table.log("clock"))
    table.freeze("clock")
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)
    ticks = table.log("clock").stat().st_size
    time.sleep(0.1)
    assert table.log("clock").stat().st_size == ticks
    assert table.is_running("clock")
    table.thaw("clock")
    _grows(table.log("clock"))
    table.freeze("clock")
    began = time.monotonic()
    table.stop("clock")
    assert time.monotonic() - began < GRACE_SECONDS, "it heard the request to end"
    with pytest.raises(LocalPlaneError, match="clock does not run"):
        table.freeze("clock")


def test_what_a_killed_process_left_behind_is_ended_with_it(table, tmp_path):
    file = tmp_path / "child"
    code = (
        "import subprocess, sys, time, pathlib;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"pathlib.Path({str(file)!r}).write_text(str(child.pid)); time.sleep(60)"
    )
    table.start("parent", LaunchSpec((sys.executable, "-c", code)))
    while not file.exists() or not file.read_text():
        assert table.is_running("parent")
    child = psutil.Process(int(file.read_text()))
    table.kill("parent")
    assert child.is_running()
    table.stop("parent")
    assert child.wait(timeout=10) is None


def test_a_process_id_taken_by_another_program_is_not_ours(table, tmp_path):
    table.start("sleeper", SLEEPER)
    file = tmp_path / "processes.json"
    table.kill("sleeper")
    own = psutil.Process()
    file.write_text(file.read_text().replace(f'"pid": {_recorded_pid(file)}', f'"pid": {own.pid}'))
    assert not table.is_running("sleeper")
    table.stop("sleeper")
    assert own.is_running()


def test_two_of_one_name_are_refused(table):
    table.start("sleeper", SLEEPER)
    with pytest.raises(LocalPlaneError, match="runs already; stop it first"):
        table.start("sleeper", SLEEPER)


def test_a_program_that_does_not_exist_is_one_sentence(table):
    with pytest.raises(LocalPlaneError, match=r"ghost cannot be started: .*No such file"):
        table.start("ghost", LaunchSpec(("/nonexistent/ghost",)))


def _recorded_pid(file):
    return json.loads(file.read_text())["sleeper"]["pid"]


def _grows(log):
    before, deadline = log.stat().st_size, time.monotonic() + 30
    while log.stat().st_size == before:
        assert time.monotonic() < deadline, "the process writes nothing"
        time.sleep(0.01)
