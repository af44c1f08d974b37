"""The limits of `docs/router.md`: who goes past one is told or waits, and the others are not hurt meanwhile."""

import resource
import socket
import time

import numpy as np
import pytest

import plain
from router.peers import Router, cell, grpc_caller, http_caller, values, workload
from router.places import MODEL, Fleet, until

POST = f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: x\r\n".encode()


def connect(router: Router) -> socket.socket:
    host, port = router.http.split(":")
    connection = socket.create_connection((host, int(port)))
    connection.settimeout(10)
    return connection


def others_are_served(router: Router) -> None:
    with http_caller(router) as http, grpc_caller(router) as grpc:
        for caller in (http, grpc):
            np.testing.assert_array_equal(caller.double(values()), values() * 2)


def test_past_the_connections_new_ones_wait_and_the_other_listeners_serve(router: Router, fleet: Fleet) -> None:
    router.flags = ("--connections", "8")
    router.planned(cell())
    fleet.joined("a")
    held = [connect(router) for _ in range(8)]
    for connection in held:
        connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in connection.recv(4096)
    late = connect(router)
    late.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
    with grpc_caller(router) as grpc:
        np.testing.assert_array_equal(grpc.double(values()), values() * 2)
    assert plain.get(f"http://{router.addresses['metrics']}/livez").is_success
    late.settimeout(0.3)
    with pytest.raises(TimeoutError):
        late.recv(1)
    held[0].close()
    late.settimeout(10)
    assert b" 200 " in late.recv(4096)
    for connection in (late, *held[1:]):
        connection.close()


def test_a_head_that_drips_is_cut_off(router: Router, fleet: Fleet) -> None:
    router.flags = ("--idle-seconds", "1")
    router.planned(cell())
    fleet.joined("a")
    slow = connect(router)
    slow.sendall(POST)
    begun = time.monotonic()

    def is_closed() -> bool:
        try:
            slow.sendall(b"x")
        except OSError:
            return True
        time.sleep(0.1)
        return False

    until(is_closed)
    assert time.monotonic() - begun > 0.5
    others_are_served(router)
    slow.close()


def test_a_low_soft_limit_of_open_files_is_raised(router: Router, fleet: Fleet) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    router.plan(workload(cell()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, limits[1]))
    try:
        router.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    router.ready()
    fleet.joined("a")
    held = [connect(router) for _ in range(200)]
    others_are_served(router)
    for connection in held:
        connection.close()


def test_a_head_over_32_kib_is_refused(router: Router, fleet: Fleet) -> None:
    router.planned(cell())
    fleet.joined("a")
    large = connect(router)
    large.sendall(POST + b"X-Large: " + b"x" * (40 << 10) + b"\r\n\r\n")
    assert b" 431 " in large.recv(4096)
    large.close()
    others_are_served(router)


def test_a_huge_body_is_refused_at_once_announced_or_not(router: Router, fleet: Fleet) -> None:
    router.flags = ("--max-body", str(1 << 20))
    router.planned(cell())
    (car,) = fleet.joined("a")
    announced = connect(router)
    announced.sendall(POST + b"Content-Length: 1000000000000\r\n\r\n{")
    assert b" 413 " in announced.recv(4096), "before the body came"
    chunked = connect(router)
    chunked.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    for _ in range(17):
        chunked.sendall(piece)
    assert b" 413 " in chunked.recv(4096)
    announced.close()
    chunked.close()
    others_are_served(router)
    assert car.app.requests == 2
