import urllib.request
from urllib.error import HTTPError

import pytest

from parkade.handlers.probes import Probes


@pytest.fixture
def probes():
    trouble = {"/readyz": ""}
    server = Probes(0, {"/healthz": lambda: "", "/readyz": lambda: trouble["/readyz"]})
    server.start()
    yield server, trouble
    server.stop()


def ask(server, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_probes_tell_why_they_fail(probes):
    server, trouble = probes
    assert ask(server, "/healthz") == (200, "ok")
    assert ask(server, "/readyz") == (200, "ok")
    trouble["/readyz"] = "no cycle yet"
    assert ask(server, "/readyz") == (503, "no cycle yet")
    assert ask(server, "/nothing") == (404, "no such probe")
