"""The protocol endpoint by endpoint: the same request to a real Triton and through the router, side by side."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc.aio as aio_grpc
import tritonclient.http.aio as aio_http
from tritonclient.grpc import service_pb2_grpc

from parkade.local.pki import Authority
from parkade.local.triton import uv_command
from router.doubler import DoublerServer
from router.exchanges import Ends, Exchange, X, grpc_exchanges, http_exchanges
from router.peers import GrpcCaller, HttpCaller, Router
from router.places import MODEL

pytestmark = pytest.mark.triton

EXCHANGES = (*http_exchanges(), *grpc_exchanges())
KSERVE = "kserve==0.21.0"
"""The KServe Python client, about 300 MB with what it needs; it runs in an environment of its own."""


@dataclass(frozen=True)
class Difference:
    """Requests that the router is meant to answer in another way than Triton."""

    asked: str
    triton: str
    """Status, then words for people."""
    router: str
    why: str
    names: tuple[str, ...]
    """Of the exchanges."""

    def row(self) -> str:
        return f"| {self.asked} | {self.triton} | {self.router} | {self.why} |"


DIFFERENCES = (
    Difference("server live and ready, HTTP", "200 without a body", '200, `{"live":true}`, `{"ready":true}`',
        "the KServe client reads a body", ("HTTP server live", "HTTP server ready")),
    Difference("server metadata, HTTP", "200, `triton`", "200, `parkade-router`", "callers see who answers",
        ("HTTP server metadata",)),
    Difference("`ServerMetadata`", "OK, `triton`", "OK, `parkade-router`", "callers see who answers",
        ("gRPC ServerMetadata",)),
    Difference("statistics of an unknown model, HTTP", "400", "404", "an unknown model is 404 on every path",
        ("HTTP model statistics, unknown model",)),
    Difference("`ModelStatistics` of an unknown model", "INVALID_ARGUMENT", "NOT_FOUND",
        "an unknown model is NOT_FOUND in every method", ("gRPC ModelStatistics, unknown model",)),
    Difference("a body over `--max-body`, HTTP", "200", "413", "Triton has no such limit",
        ("HTTP infer: body over --max-body",)),
    Difference("a message over `--max-body`, gRPC", "OK", "RESOURCE_EXHAUSTED", "Triton has no such limit",
        ("gRPC ModelInfer: message over --max-body",)),
    Difference("a method that is not the path's", "405 without a sentence", "405 with one",
        "an error says how to mend it",
        ("HTTP infer by GET", "HTTP model metadata by POST", "HTTP server live by POST")),
    Difference("an unknown path", "404 without a sentence", "404 with one", "an error says how to mend it",
        ("HTTP unknown path", "HTTP path of KServe v1")),
    Difference("an unknown method, gRPC", "UNIMPLEMENTED without a sentence", "UNIMPLEMENTED with one",
        "an error says how to mend it", ("gRPC unknown method",)),
    Difference("a message that is not protobuf", "INTERNAL", "INTERNAL, another sentence",
        "the router reads the model's name before Triton reads the rest", ("gRPC ModelInfer: not protobuf",)),
    Difference("model index, trace settings, shared memory, HTTP", "200", "404",
        "one server's own affairs; models are the operator's",
        ("HTTP model index", "HTTP trace settings", "HTTP shared memory")),
    Difference("`RepositoryIndex`, `TraceSetting`", "OK", "UNIMPLEMENTED",
        "one server's own affairs; models are the operator's", ("gRPC RepositoryIndex", "gRPC TraceSetting")),
    Difference("`/generate`", "200", "404", "an extension of Triton's that cars do not have", ("HTTP generate",)),
)  # fmt: skip
MEANT = {name: difference for difference in DIFFERENCES for name in difference.names}


@pytest.fixture(scope="module")
def front(
    router_binary: Path, authority: Authority, server: DoublerServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Router]:
    """A router before the server; bodies may have 1 MiB."""
    router = Router(router_binary, authority, tmp_path_factory.mktemp("router"), ("--max-body", str(1 << 20)))
    try:
        yield router.planned(server.placement())
    finally:
        router.stop()


@pytest.fixture(scope="module")
def both(front: Router, server: DoublerServer) -> Iterator[tuple[Ends, Ends]]:
    addresses = ((server.http, server.grpc), (front.http, front.grpc))
    ends = []
    for http, grpc_address in addresses:
        channel = grpc.insecure_channel(grpc_address)
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        ends.append(Ends(httpx.Client(base_url=f"http://{http}", timeout=20), stub, channel))
    yield ends[0], ends[1]
    for end in ends:
        end.http.close()
        end.channel.close()


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
def test_the_router_answers_as_triton_does(exchange: Exchange, both: tuple[Ends, Ends]) -> None:
    from_triton, from_router = (exchange.send(ends) for ends in both)
    meant = MEANT.get(exchange.name)
    if meant is None:
        assert from_router == from_triton
    else:
        assert from_router != from_triton, "they agree by now; take the row out"
        assert (from_triton.status, from_router.status) == tuple(
            said.split()[0].rstrip(",") for said in (meant.triton, meant.router)
        )
        assert from_router.status in ("200", "OK") or from_router.error, "an error has a sentence"


def test_a_request_at_fault_spends_no_attempt_and_rests_no_server(front: Router) -> None:
    """Runs after all of them: what was wrong with them was never taken for a fault of the server's."""
    assert front.metric("retries_total") == 0
    assert front.metric("credits", tier="Datacenter") == 2


def test_the_table_of_differences_is_in_the_docs(repository_root: Path) -> None:
    docs = (repository_root / "docs" / "router.md").read_text()
    table = docs.partition("## Beside Triton")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert rows == [difference.row() for difference in DIFFERENCES]
    assert MEANT.keys() <= {exchange.name for exchange in EXCHANGES}


# unmodified clients, tensor by tensor

EXPECTED = (X * 2).tolist()


def test_tritonclient_gets_the_same_tensors(front: Router, server: DoublerServer) -> None:
    direct = HttpCaller(server.http), GrpcCaller(server.grpc)
    through = HttpCaller(front.http), GrpcCaller(front.grpc)
    for count in (1, 3, 100_000):
        array = np.linspace(-1, 1, count, dtype=np.float32)
        for one, other in zip(direct, through, strict=True):
            np.testing.assert_array_equal(other.double(array), one.double(array))
    for caller in (*direct, *through):
        caller.client.close()


def test_tritonclient_aio_gets_the_same_tensors(front: Router) -> None:
    async def ask() -> list[list[float]]:
        async with (
            aio_http.InferenceServerClient(front.http) as http,
            aio_grpc.InferenceServerClient(front.grpc) as rpc,
        ):
            over_http = await http.infer(MODEL, [HttpCaller.tensor(X)])
            over_grpc = await rpc.infer(MODEL, [GrpcCaller.tensor(X)])
        return [answer.as_numpy("y").tolist() for answer in (over_http, over_grpc)]

    assert asyncio.run(ask()) == [EXPECTED, EXPECTED]


def test_curl_gets_the_same_tensors(front: Router) -> None:
    body = json.dumps({"inputs": [{"name": "x", "shape": [3], "datatype": "FP32", "data": X.tolist()}]})
    url = f"http://{front.http}/v2/models/{MODEL}/infer"
    done = subprocess.run(["curl", "-sS", "--fail", "-d", body, url], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["outputs"][0]["data"] == EXPECTED


@pytest.mark.timeout(600)
def test_the_client_of_kserve_gets_the_same_tensors(front: Router) -> None:
    """In a process and an environment of its own, because it pins other versions of what Parkade uses."""
    script = Path(__file__).parent / "kserve_client.py"
    command = [*uv_command(), "run", "--quiet", "--no-project", "--python", "3.11", "--with", KSERVE, "python"]
    arguments = [str(script), front.http, front.grpc, MODEL, json.dumps(X.tolist())]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {"live": True, "ready": True, "model": True, "http": EXPECTED, "binary": EXPECTED, "grpc": EXPECTED}
