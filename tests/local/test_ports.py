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


def test_ports_are_kept_while_something_runs_and_a_taken_one_is_replaced_otherwise(tmp_path):
    file = tmp_path / "ports.json"
    first = ports.keep(file, ["api", "nats"], running=[])
    assert ports.keep(file, ["api", "nats"], running=[]) == first
    with socket.create_server(("127.0.0.1", first["api"])):
        assert ports.keep(file, ["api", "nats"], running=["api"]) == first
        second = ports.keep(file, ["api", "nats"], running=[])
    assert second["api"] != first["api"]
    assert second["nats"] == first["nats"]
