"""Who is let in: callers that an issuer signed for, workloads that they may call, and quotas by namespace."""

import http.server
import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as over_grpc
from tritonclient.utils import InferenceServerException

import plain
from parkade.local.pki import Authority
from router import issuer
from router.issuer import Issuer
from router.peers import Router, cell, grpc_caller, http_caller, values, workload
from router.places import MODEL, WORKLOAD, Datacenter, Fleet, until

JSON_BODY = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}]}
CALLERS = "parkade.dev/callers"


@pytest.fixture(scope="module")
def signer() -> Issuer:
    return Issuer()


@pytest.fixture
def strict(router: Router, signer: Issuer, tmp_path: Path) -> Router:
    """A router that asks for tokens; the test gives it placements and starts it."""
    keys = tmp_path / "keys.json"
    keys.write_bytes(signer.key_set())
    router.flags = ("--auth", "jwt", "--auth-issuer", issuer.NAME, "--jwks", str(keys))
    return router


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def infer(router: Router, headers: dict[str, str] | None = None, path: str = "/infer") -> httpx.Response:
    return plain.post(f"http://{router.http}/v2/models/{MODEL}{path}", json=JSON_BODY, headers=headers)


def annotated(callers: str, *placements: dict) -> dict:
    manifest = workload(*placements)
    manifest["metadata"]["annotations"] = {CALLERS: callers}
    return manifest


def grpc_status(router: Router, headers: dict[str, str] | None) -> tuple[str, str]:
    with grpc_caller(router) as caller, pytest.raises(InferenceServerException) as refused:
        caller.double(values(), headers=headers)
    return refused.value.status().removeprefix("StatusCode."), refused.value.message()


def test_without_authentication_everybody_calls_and_tokens_pass_to_triton(
    router: Router, datacenter: Datacenter
) -> None:
    router.planned(datacenter.placement())
    assert infer(router).is_success
    assert infer(router, bearer("for.the.server")).is_success
    assert datacenter.app.headers[-1]["authorization"] == "Bearer for.the.server"
    assert router.metric("refused_total") == 0


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_good_token_of_each_algorithm_is_let_in(
    strict: Router, datacenter: Datacenter, signer: Issuer, algorithm: str
) -> None:
    strict.planned(datacenter.placement())
    token = bearer(signer.token(algorithm=algorithm))
    with http_caller(strict) as over_http, grpc_caller(strict) as over_grpc:
        for caller in (over_http, over_grpc):
            np.testing.assert_array_equal(caller.double(values(), headers=dict(token)), values() * 2)
    assert infer(strict, bearer(signer.token(algorithm=algorithm, header_kid=None))).is_success


WRONG = {
    "no token": (None, "serves known callers only"),
    "another scheme": ({"authorization": "Basic dXNlcjpwYXNz"}, "no bearer token"),
    "not a token": (bearer("abc"), "not a JWT"),
    "expired": ({"exp": 1}, "expired"),
    "without an end": ({"exp": None}, "lacks one of the claims"),
    "not yet": ({"nbf": 9_999_999_999}, "not valid yet"),
    "another issuer": ({"iss": "https://other.example"}, "another issuer"),
    "no issuer": ({"iss": None}, "lacks one of the claims"),
    "another audience": ({"aud": "kubernetes"}, "another audience"),
    "no audience": ({"aud": None}, "lacks one of the claims"),
    "an unknown key": ({"header_kid": "other"}, "does not publish"),
    "unsigned": ({"header_alg": "none"}, "not a JWT"),
    "signed with a shared secret": ({"header_alg": "HS256"}, "RS256, ES256 or EdDSA"),
    "another key's name": ({"header_alg": "RS256"}, "does not publish"),
    "what must be understood": ({"header_crit": ["b64"]}, "not a JWT"),
}


@pytest.mark.parametrize("case", WRONG)
def test_whoever_proves_nothing_is_refused(strict: Router, datacenter: Datacenter, signer: Issuer, case: str) -> None:
    strict.planned(datacenter.placement())
    change, sentence = WRONG[case]
    headers = change if change is None or "authorization" in change else bearer(signer.token(**change))
    answer = infer(strict, headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    said = answer.json()["error"]
    assert sentence in said
    assert "token for audience parkade" in said
    code, message = grpc_status(strict, headers)
    assert code == "UNAUTHENTICATED"
    assert sentence in message
    assert datacenter.app.requests == 0
    assert strict.metric("refused_total", reason="unauthenticated") == 2


def test_a_changed_token_is_refused(strict: Router, datacenter: Datacenter, signer: Issuer) -> None:
    strict.planned(datacenter.placement())
    header, _, signature = signer.token("vision").split(".")
    _, payload, _ = signer.token("maps").split(".")
    answer = infer(strict, bearer(f"{header}.{payload}.{signature}"))
    assert answer.status_code == 401
    assert "signature" in answer.json()["error"]


def test_a_token_is_believed_no_longer_than_it_lives(strict: Router, datacenter: Datacenter, signer: Issuer) -> None:
    strict.planned(datacenter.placement())
    # Clocks may differ by a minute, so this one ends in two seconds.
    token = bearer(signer.token(exp=int(time.time()) - 58))
    assert infer(strict, token).is_success
    until(lambda: infer(strict, token).status_code == 401)


def test_probes_and_balancers_need_no_token(strict: Router, datacenter: Datacenter) -> None:
    strict.planned(datacenter.placement())
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", f"/v2/models/{MODEL}/ready"):
        assert plain.get(f"http://{strict.http}{path}").is_success, path
    for path in ("", "/config", "/stats"):
        assert plain.get(f"http://{strict.http}/v2/models/{MODEL}{path}").status_code == 401, path
    assert plain.get(f"http://{strict.http}/v2/models/other").status_code == 401, "names are not given away"
    with grpc_caller(strict) as caller:
        assert caller.client.is_server_live()
        assert caller.client.is_server_ready()
        assert caller.client.is_model_ready(MODEL)
        assert caller.client.get_server_metadata().name == "parkade-router"
        with pytest.raises(InferenceServerException, match="known callers only"):
            caller.client.get_model_metadata(MODEL)


def test_no_place_and_no_line_sees_a_token(
    strict: Router, fleet: Fleet, datacenter: Datacenter, signer: Issuer, tmp_path: Path
) -> None:
    strict.planned(cell(), datacenter.placement())
    token = signer.token()
    (car,) = fleet.joined("a")
    assert infer(strict, bearer(token)).headers["parkade-tier"] == "Vehicle"
    car.leave()
    until(lambda: strict.metric("credits", tier="Vehicle") == 0)
    with grpc_caller(strict) as caller:
        caller.double(values(), headers={**bearer(token), "x-trace": "7"})
    assert infer(strict, {**bearer(token), "x-trace": "7"}).headers["parkade-tier"] == "Datacenter"
    assert datacenter.app.headers[-1]["x-trace"] == datacenter.metadata[-1]["x-trace"] == "7"
    for seen in (*car.app.headers, *datacenter.app.headers, *datacenter.metadata):
        assert "authorization" not in seen
    signature = token.rsplit(".", 1)[1]
    strict.lines(3)
    for log in (strict.access_log, tmp_path / "router.log"):
        assert signature not in log.read_text()


@pytest.mark.parametrize(
    ("callers", "namespace", "may"),
    [
        ("", "vision", True),
        ("", "maps", False),
        ("maps, radio", "maps", True),
        ("radio", "maps", False),
        ("", ["maps", "vision"], True),
        ("*", [], True),
        ("maps", [], False),
    ],
)
def test_who_may_call_a_workload(
    strict: Router, datacenter: Datacenter, signer: Issuer, callers: str, namespace: str | list[str], *, may: bool
) -> None:
    strict.plan(annotated(callers, datacenter.placement())).start()
    until(lambda: plain.get(f"http://{strict.http}/v2/health/ready").is_success)
    token = bearer(signer.token(namespace))
    answer = infer(strict, token)
    if may:
        assert answer.is_success
        return
    assert answer.status_code == 403
    assert f"may not call workload {WORKLOAD}" in answer.json()["error"]
    assert CALLERS in answer.json()["error"], "it says how to mend it"
    assert grpc_status(strict, token)[0] == "PERMISSION_DENIED"
    assert plain.get(f"http://{strict.http}/v2/models/{MODEL}", headers=token).status_code == 403
    assert strict.metric("refused_total", reason="forbidden") == 3
    strict.plan(annotated("maps,*", datacenter.placement()))
    until(lambda: infer(strict, token).is_success)


def test_the_claim_with_namespaces_has_a_name(strict: Router, datacenter: Datacenter, signer: Issuer) -> None:
    strict.flags += ("--auth-namespace-claim", "groups")
    strict.planned(datacenter.placement())
    assert infer(strict, bearer(signer.token("vision"))).status_code == 403
    assert infer(strict, bearer(signer.token("maps", groups=["radio", "vision"]))).is_success


def test_a_stream_is_refused_as_a_whole(strict: Router, datacenter: Datacenter, signer: Issuer) -> None:
    strict.planned(datacenter.placement())
    with grpc.insecure_channel(strict.grpc) as channel:
        call = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        with pytest.raises(grpc.RpcError) as refused:
            list(call(iter(())))
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    answers = []
    with grpc_caller(strict) as caller:
        token = bearer(signer.token("maps"))
        caller.client.start_stream(lambda result, error: answers.append((result, error)), headers=token)
        tensor = over_grpc.InferInput("x", [4], "FP32")
        tensor.set_data_from_numpy(values())
        caller.client.async_stream_infer(MODEL, [tensor])
        until(lambda: answers)
        caller.client.stop_stream()
    assert "may not call" in str(answers[0][1])


# keys from an address


class KeyServer(http.server.ThreadingHTTPServer):
    """Serves a JWK set over https, or 503 while there is none."""

    keys = b""
    asked = 0

    def __init__(self, authority: Authority) -> None:
        super().__init__(("127.0.0.1", 0), _KeyRequest)
        pair = authority.issue("issuer", common_name="127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self.socket = context.wrap_socket(self.socket, server_side=True)


class _KeyRequest(http.server.BaseHTTPRequestHandler):
    server: KeyServer

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(200 if self.server.keys else 503)
        self.send_header("content-length", str(len(self.server.keys)))
        self.end_headers()
        self.wfile.write(self.server.keys)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def key_server(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyServer]:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    with KeyServer(authority) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_keys_come_over_https_and_change(
    router: Router, datacenter: Datacenter, key_server: KeyServer, signer: Issuer
) -> None:
    address = f"https://127.0.0.1:{key_server.server_port}/keys"
    router.flags = ("--auth", "jwt", "--auth-issuer", issuer.NAME, "--jwks", address)
    router.planned(datacenter.placement())
    token = bearer(signer.token())
    answer = infer(router, token)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "cannot be checked now" in answer.json()["error"]
    assert router.metric("refused_total", reason="unavailable") == 1
    key_server.keys = signer.key_set()
    until(lambda: infer(router, token).is_success, 15)
    successor = Issuer()
    key_server.keys = successor.key_set().replace(b'"kid": "', b'"kid": "new-')
    changed = (bearer(successor.token(header_kid="new-ES256", jti=str(index))) for index in range(1000))
    until(lambda: infer(router, next(changed)).is_success, 15)
    asked = key_server.asked
    for index in range(20):
        assert infer(router, bearer(successor.token(header_kid=f"unknown-{index}"))).status_code == 401
    assert key_server.asked <= asked + 2, "unknown keys do not flood the issuer"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--auth", "jwt"), "--jwks"),
        (("--auth", "jwt", "--auth-issuer", "x", "--jwks", "http://issuer.example/keys"), "over https"),
        (("--auth", "jwt", "--auth-issuer", "x", "--jwks", "absent.json"), "absent.json"),
        (("--auth", "everyone"), "token-review"),
        (("--quota", "absent.yaml"), "absent.yaml"),
    ],
)
def test_flags_that_cannot_be_meant_stop_the_router(router: Router, flags: tuple[str, ...], sentence: str) -> None:
    router.flags = flags
    router.plan(workload())
    with pytest.raises(json.JSONDecodeError):
        router.start()
    assert router.process.wait(10) != 0
    assert sentence in (router.folder / "router.log").read_text()


# quotas


def test_a_namespace_has_a_quota(router: Router, datacenter: Datacenter, tmp_path: Path) -> None:
    quota = tmp_path / "quota.yaml"
    quota.write_text("namespaces: {vision: {rate: 0.01, burst: 3}}")
    router.flags = ("--quota", str(quota))
    router.planned(datacenter.placement())
    assert [infer(router).status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = infer(router)
    assert 0 < int(answer.headers["retry-after"]) <= 101
    assert "namespace vision sends more than its 0.01 requests a second" in answer.json()["error"]
    assert grpc_status(router, None)[0] == "RESOURCE_EXHAUSTED"
    assert datacenter.app.requests == 3
    assert router.metric("refused_total", reason="quota") == 3
    quota.write_text("default: {rate")
    until(lambda: "what was known before stays" in (tmp_path / "router.log").read_text())
    assert infer(router).status_code == 429
    quota.write_text(json.dumps({"default": {"rate": 1000}}))
    until(lambda: infer(router).is_success)


def test_known_callers_take_their_own_quota(
    strict: Router, datacenter: Datacenter, signer: Issuer, tmp_path: Path
) -> None:
    quota = tmp_path / "quota.json"
    quota.write_text(json.dumps({"default": {"rate": 0.01, "burst": 2}}))
    strict.flags += ("--quota", str(quota))
    strict.plan(annotated("*", datacenter.placement())).start()
    until(lambda: plain.get(f"http://{strict.http}/v2/health/ready").is_success)
    noisy, quiet = bearer(signer.token("maps")), bearer(signer.token("radio"))
    assert [infer(strict, noisy).status_code for _ in range(3)] == [200, 200, 429]
    assert infer(strict, quiet).is_success
    assert infer(strict).status_code == 401, "who is not known takes nobody's quota"
    assert infer(strict, quiet).is_success
    assert infer(strict, quiet).status_code == 429
