"""What the agent makes of its fleet's answers, and what it keeps."""

import base64
import json
import stat
import time
from http.server import BaseHTTPRequestHandler

import nkeys
import pytest
from cryptography import x509

from parkade.vehicle.enrolment import Enrolment, FleetUnavailable, NotLetIn
from vehicle.peers import over_tls


def jwt(life: float) -> str:
    now = int(time.time()) - 10_000  # the fleet's clock is another
    claims = json.dumps({"iat": now, "exp": now + life}).encode()
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b"{}", claims, b"signature"))


class Desk:
    """Answers as carlet's enrolment does; carlet itself is in the tests of `fleet`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict]] = []
        self.answers: list[tuple[int, object]] = []
        self.port = 0


@pytest.fixture
def desk(pki):
    desk = Desk()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else {}
            desk.asked.append((self.path, self.headers.get("Authorization", ""), body))
            status, answer = (200, {"nonce": "1.a"}) if self.command == "GET" else desk.answers.pop(0)
            payload = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.send_header("Retry-After", "12")
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = answer  # noqa: N815 -- the library's names

        def log_message(self, *_: object) -> None:
            pass

    with over_tls(pki, Handler) as desk.port:
        yield desk


def begin(desk, pki, directory):
    return Enrolment.begin(directory, pki.vehicle.ca, f"https://127.0.0.1:{desk.port}", "f", "VIN 1", "pkt_a_b")


GRANT = {"v": 1, "fleet": "f", "vehicle": "v-1", "certificate": "PEM 1"}


def test_a_car_enrols_with_keys_of_its_own_and_proves_them(desk, pki, tmp_path):
    desk.answers = [(200, GRANT | {"jwt": jwt(1000)}), (200, GRANT | {"jwt": jwt(2000), "certificate": "PEM 2"})]
    enrolment = begin(desk, pki, tmp_path)
    path, authorization, asked = desk.asked[0]
    assert (path, authorization, asked["id"], asked["fleet"]) == ("/v1/enroll", "Bearer pkt_a_b", "VIN 1", "f")
    assert x509.load_pem_x509_csr(asked["csr"].encode()).is_signature_valid
    assert 590 < enrolment.due() < 730
    assert not enrolment.expired
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert not [name for name, content in written.items() if b"VIN" in content or b"pkt" in content]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    seed = written["link.seed"]
    sent = json.dumps([body for _, _, body in desk.asked]).encode()
    assert seed not in sent
    assert b"PRIVATE" not in sent
    assert seed in written["link.creds"]

    again = Enrolment.find(tmp_path, pki.vehicle.ca)
    assert again is not None
    assert again.record == enrolment.record
    again.renew_by_key()
    path, _, proof = desk.asked[-1]
    assert path == "/v1/renew"
    signed = "\n".join(["parkade-renew", "1.a", "f", "v-1", proof["csr"]]).encode()
    user = nkeys.from_seed(bytearray(seed))
    assert user.verify(signed, base64.b64decode(proof["signature"]))
    assert proof["publicKey"] == asked["publicKey"] == user.public_key.decode()
    assert again.due() > 1190
    assert again.certificate.read_text() == "PEM 2"
    assert (tmp_path / "vehicle.key").read_bytes() == written["vehicle.key"]


@pytest.mark.parametrize(
    ("status", "answer", "error"),
    [
        (401, {"error": "the token has expired"}, NotLetIn),
        (429, {"error": "too many"}, FleetUnavailable),
        (503, {"error": "not now"}, FleetUnavailable),
        (200, {"v": 1}, NotLetIn),
        (200, GRANT | {"jwt": "no token"}, NotLetIn),
        (200, GRANT | {"jwt": jwt(0)}, NotLetIn),
        (200, GRANT | {"jwt": jwt(100), "vehicle": "v.*"}, NotLetIn),
        (200, ["list"], FleetUnavailable),
    ],
)
def test_what_is_no_grant_changes_nothing(desk, pki, tmp_path, status, answer, error):
    desk.answers = [(status, answer)]
    with pytest.raises(error):
        begin(desk, pki, tmp_path)
    assert Enrolment.find(tmp_path, pki.vehicle.ca) is None
    assert not (tmp_path / "link.creds").exists()


def test_an_answer_over_the_link_is_taken_only_if_it_is_one(desk, pki, tmp_path):
    desk.answers = [(200, GRANT | {"jwt": jwt(1000)})]
    enrolment = begin(desk, pki, tmp_path)
    before = (tmp_path / "link.creds").read_bytes()
    refusals = [
        b"", b"[" * 9000, b"null", b'{"v":2}', b'{"v":1,"reason":"Revoked","message":"no"}',
        json.dumps(GRANT | {"jwt": jwt(1000), "vehicle": "v-2"}).encode(),
    ]  # fmt: skip
    assert [enrolment.receive(payload) for payload in refusals] == [False] * len(refusals)
    assert (tmp_path / "link.creds").read_bytes() == before
    assert enrolment.receive(json.dumps(GRANT | {"jwt": jwt(2000), "brandNew": 1}).encode())
    assert (tmp_path / "link.creds").read_bytes() != before


def test_nobody_at_the_address_is_one_sentence(pki, tmp_path):
    with pytest.raises(FleetUnavailable, match="does not answer"):
        Enrolment.begin(tmp_path, pki.vehicle.ca, "https://127.0.0.1:1", "f", "x", "t")


def test_who_is_turned_away_knows_for_how_long(desk, pki, tmp_path):
    desk.answers = [(429, {"error": "too many"})]
    with pytest.raises(FleetUnavailable) as refused:
        begin(desk, pki, tmp_path)
    assert refused.value.retry_after == 12.0
