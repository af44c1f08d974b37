"""Servers that do not answer as they should: facts for the plan, errors with a remedy for the steps."""

import socket
import time

import pytest

from parkade.errors import TritonUnavailable
from parkade.local import ports
from parkade.serving import Endpoint, probe, unload
from serving.conftest import Sources


def at(address: str) -> Endpoint:
    return Endpoint("somewhere", address, "127.0.0.1:1")


def test_nobody_there():
    (port,) = ports.choose(1)
    seen = probe(at(f"127.0.0.1:{port}"))
    assert (seen.live, seen.models) == (False, ())
    assert f"127.0.0.1:{port} does not answer" in seen.failure
    assert "check that it runs" in seen.failure


def test_a_name_that_does_not_resolve():
    assert "does not answer" in probe(at("no-such-host.invalid:8000")).failure


def test_an_address_that_is_none():
    assert not probe(at("not an address")).live


def test_a_server_that_hangs_costs_no_more_than_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        endpoint = at(f"127.0.0.1:{mute.getsockname()[1]}")
        started = time.monotonic()
        assert "timed out" in probe(endpoint, timeout=0.2).failure
        with pytest.raises(TritonUnavailable, match="timed out"):
            unload(endpoint, "anything", timeout=0.2)
        assert time.monotonic() - started < 2


def test_a_web_server_is_no_triton(sources: Sources):
    seen = probe(at(sources.url.removeprefix("http://")))
    assert not seen.live
    assert "not as a Triton server does" in seen.failure
