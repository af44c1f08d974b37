import socket

from parkade.local import ports


def test_ports_are_different_free_and_below_the_ephemeral_range():
    chosen = ports.choose(20)
    assert len(set(chosen)) == 20
    assert all(ports.LOWEST <= port < ports.DEFAULT_EPHEMERAL_START for port in chosen)
    assert all(ports.is_free(port) for port in chosen)


def test_a_listening_port_is_not_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not ports.is_free(server.getsockname()[1])
