import socket
import ssl
import threading

import pytest

from parkade.local.pki import Authority


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "pki")


def test_keys_are_private_and_found_again(authority):
    pair = authority.issue("router", common_name="router")
    assert pair.key.stat().st_mode & 0o077 == 0
    assert authority.pair.key.stat().st_mode & 0o077 == 0
    before = pair.certificate.read_bytes()
    assert Authority(authority.directory).issue("router", common_name="router").certificate.read_bytes() == before


def test_a_vehicle_and_a_router_trust_each_other_and_the_fleet_is_in_the_certificate(authority):
    server = authority.issue("router", common_name="router")
    vehicle = authority.issue("v-1", common_name="v-1", uris=("parkade://vehicle/owners-ca/v-1",))
    listening = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.certificate)
    listening.verify_mode = ssl.CERT_REQUIRED
    listening.load_cert_chain(server.certificate, server.key)
    dialling = ssl.create_default_context(cafile=authority.certificate)
    dialling.load_cert_chain(vehicle.certificate, vehicle.key)
    seen = []

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept():
            connection, _ = listener.accept()
            with listening.wrap_socket(connection, server_side=True) as tls:
                seen.append(tls.getpeercert()["subjectAltName"])
                tls.sendall(b"ok")

        thread = threading.Thread(target=accept)
        thread.start()
        with (
            socket.create_connection(listener.getsockname()) as plain,
            dialling.wrap_socket(plain, server_hostname="localhost") as tls,
        ):
            assert tls.recv(2) == b"ok"
        thread.join()
    assert seen == [(("URI", "parkade://vehicle/owners-ca/v-1"),)]
