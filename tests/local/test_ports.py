import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from parkade.errors import LocalPlaneError
from parkade.local import ports

SEED = 7
CHOOSER = f"""
import json, random, sys
from pathlib import Path
from parkade.local import ports
random.seed({SEED})
if len(sys.argv) > 1:
    print(json.dumps(sorted(ports.keep(Path(sys.argv[1]), ["a", "b"], running=[]).values())), flush=True)
else:
    print(json.dumps(ports.choose(5)), flush=True)
input()
"""


@contextmanager
def another(cache: Path, *arguments: object) -> Iterator[list[int]]:
    """The ports of a process that lives until the block ends, and whose dice fall as everybody's do.

    Claims in a cache of the test's own are no others', so that equal dice give equal ports.
    """
    command = [sys.executable, "-c", CHOOSER, *map(str, arguments)]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.kill()


def test_ports_are_different_free_and_below_the_ephemeral_range():
    chosen = ports.choose(20)
    assert len(set(chosen)) == 20
    assert all(ports.LOWEST <= port < ports.DEFAULT_EPHEMERAL_START for port in chosen)
    assert all(ports.is_free(port) for port in chosen)


def test_a_listening_port_is_not_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not ports.is_free(server.getsockname()[1])


def test_one_process_is_given_no_port_twice():
    dice = random.getstate()
    try:
        random.seed(SEED)
        first = ports.choose(5)
        random.seed(SEED)
        assert not set(first) & set(ports.choose(5))
    finally:
        random.setstate(dice)


def test_no_port_is_chosen_twice_before_its_server_binds_it(tmp_path):
    with another(tmp_path) as first, another(tmp_path) as second, another(tmp_path) as third:
        assert len({*first, *second, *third}) == 15


def test_a_process_that_is_killed_gives_its_ports_back(tmp_path):
    with another(tmp_path) as first:
        pass
    with another(tmp_path) as second:
        assert set(second) & set(first)


def test_a_kept_port_that_another_process_has_chosen_is_replaced(tmp_path):
    file = tmp_path / "kept.json"
    with another(tmp_path) as theirs:
        file.write_text(json.dumps({"a": theirs[0], "b": theirs[1]}))
        with another(tmp_path, file) as mine:
            assert not set(theirs) & set(mine)
    with another(tmp_path, file) as again:
        assert set(again) & set(mine), "nobody has them any more"


def test_ports_are_kept_while_something_runs_and_a_taken_one_is_replaced_otherwise(tmp_path):
    file = tmp_path / "ports.json"
    first = ports.keep(file, ["api", "nats"], running=[])
    assert ports.keep(file, ["api", "nats"], running=[]) == first
    with socket.create_server(("127.0.0.1", first["api"])):
        assert ports.keep(file, ["api", "nats"], running=["api"]) == first
        second = ports.keep(file, ["api", "nats"], running=[])
    assert second["api"] != first["api"]
    assert second["nats"] == first["nats"]


def test_more_ports_than_there_are_is_one_sentence():
    with pytest.raises(LocalPlaneError, match="stop programs that listen there"):
        ports.choose(50_000)
    assert len(ports.choose(5)) == 5, "those that it found are given back"
