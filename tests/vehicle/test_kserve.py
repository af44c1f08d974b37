"""The application as the public tritonclient sees it, against onnxruntime run directly."""

import asyncio
import gzip
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import onnx
import onnxruntime
import pytest
import tritonclient.http as triton
import uvicorn
from onnx import TensorProto
from tritonclient.grpc import InferResult, service_pb2
from tritonclient.utils import InferenceServerException, serialize_byte_tensor

import plain
from parkade.vehicle.kserve import GRPC_INFER, KServe, Served
from parkade.vehicle.runtime import OnnxRuntime
from vehicle.peers import affine, onnx_model, slow

CARRIED = {
    "BOOL": (TensorProto.BOOL, np.array([[True, False, True]])),
    "UINT8": (TensorProto.UINT8, np.array([[0, 7, 255]], np.uint8)),
    "UINT16": (TensorProto.UINT16, np.array([[0, 7, 65535]], np.uint16)),
    "UINT32": (TensorProto.UINT32, np.array([[0, 7, 2**32 - 1]], np.uint32)),
    "UINT64": (TensorProto.UINT64, np.array([[0, 7, 2**64 - 1]], np.uint64)),
    "INT8": (TensorProto.INT8, np.array([[-128, 0, 127]], np.int8)),
    "INT16": (TensorProto.INT16, np.array([[-32768, 0, 32767]], np.int16)),
    "INT32": (TensorProto.INT32, np.array([[-(2**31), 0, 2**31 - 1]], np.int32)),
    "INT64": (TensorProto.INT64, np.array([[-(2**63), 0, 2**63 - 1]], np.int64)),
    "FP16": (TensorProto.FLOAT16, np.array([[0.5, -2, 1e-4]], np.float16)),
    "FP32": (TensorProto.FLOAT, np.array([[0.1, -2, 1e30]], np.float32)),
    "FP64": (TensorProto.DOUBLE, np.array([[0.1, -2, 1e300]], np.float64)),
    "BYTES": (TensorProto.STRING, np.array([[b"", "stra\u00dfe".encode(), b"a\x00b"]], np.object_)),
}


def every_type() -> bytes:
    """One identity an element type, free in the batch axis."""
    nodes = [onnx.helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in CARRIED]
    inputs = {f"in_{name}": (kind, ["n", 3]) for name, (kind, _) in CARRIED.items()}
    outputs = {f"out_{name}": (kind, ["n", 3]) for name, (kind, _) in CARRIED.items()}
    return onnx_model(nodes, inputs, outputs)


def scalar() -> bytes:
    """y = x * rate, where rate is a scalar of INT64."""
    nodes = [
        onnx.helper.make_node("Cast", ["rate"], ["factor"], to=TensorProto.FLOAT),
        onnx.helper.make_node("Mul", ["x", "factor"], ["y"]),
        onnx.helper.make_node("ReduceSum", ["y"], ["sum"], keepdims=0),
    ]
    inputs = {"x": (TensorProto.FLOAT, [2]), "rate": (TensorProto.INT64, [])}
    return onnx_model(nodes, inputs, {"y": (TensorProto.FLOAT, [2]), "sum": (TensorProto.FLOAT, [])})


class Server:
    """uvicorn around one application, in a thread."""

    def __init__(self, content: bytes, directory, name: str) -> None:
        path = directory / f"{name}.onnx"
        path.write_bytes(content)
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.accepting = True
        self.records: list[tuple[float, int, int]] = []
        self.executor = ThreadPoolExecutor(1)
        model = OnnxRuntime().load(path, name, 2**20)
        self.served = Served(
            name, "7", model, self.executor, lambda: self.accepting, lambda *record: self.records.append(record)
        )
        config = uvicorn.Config(
            KServe(self.served), port=0, lifespan="off", log_config=None, access_log=False, interface="asgi3"
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            threading.Event().wait(0.005)
        self.address = f"127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"

    def post(self, path: str, **arguments) -> httpx.Response:
        return plain.post(f"http://{self.address}{path}", timeout=20, **arguments)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.executor.shutdown()


@pytest.fixture(scope="module")
def types(tmp_path_factory) -> Iterator[Server]:
    server = Server(every_type(), tmp_path_factory.mktemp("types"), "types")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def doubler(tmp_path_factory) -> Iterator[Server]:
    server = Server(affine(), tmp_path_factory.mktemp("doubler"), "doubler")
    yield server
    server.stop()


@pytest.fixture
def client(types) -> Iterator[triton.InferenceServerClient]:
    client = triton.InferenceServerClient(types.address)
    yield client
    client.close()


def inputs(*, binary=True, names=CARRIED) -> list[triton.InferInput]:
    tensors = []
    for name in names:
        tensor = triton.InferInput(f"in_{name}", [1, 3], name)
        array = CARRIED[name][1]
        tensors.append(tensor.set_data_from_numpy(array, binary_data=binary or name == "FP16"))
    return tensors


def direct(server: Server) -> dict[str, np.ndarray]:
    """The same model run by onnxruntime itself."""
    feeds = {f"in_{name}": array for name, (_, array) in CARRIED.items()}
    feeds["in_BYTES"] = np.array([[text.decode() for text in CARRIED["BYTES"][1][0]]], np.object_)
    names = [output.name for output in server.session.get_outputs()]
    return dict(zip(names, server.session.run(names, feeds), strict=True))


def as_texts(array: np.ndarray) -> list:
    return [item.decode() if isinstance(item, bytes) else item for item in array.ravel().tolist()]


def test_health_and_metadata_read_as_tritons(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("types")
    assert client.is_model_ready("types", "7")
    assert not client.is_model_ready("other")
    assert not client.is_model_ready("types", "8")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    found = client.get_model_metadata("types")
    assert (found["name"], found["versions"], found["platform"]) == ("types", ["7"], "onnxruntime_onnx")
    assert {"name": "in_FP32", "datatype": "FP32", "shape": [-1, 3]} in found["inputs"]


def test_every_type_travels_both_ways_in_binary(client, types):
    answer = client.infer("types", inputs(), request_id="r-1")
    assert (answer.get_response()["id"], answer.get_response()["model_version"]) == ("r-1", "7")
    for name, expected in direct(types).items():
        assert as_texts(answer.as_numpy(name)) == as_texts(expected)
        assert answer.get_output(name)["datatype"] == name.removeprefix("out_")


def test_every_type_but_fp16_travels_both_ways_in_json(client, types):
    names = [name for name in CARRIED if name != "FP16"]
    outputs = [triton.InferRequestedOutput(f"out_{name}", binary_data=False) for name in names]
    outputs.append(triton.InferRequestedOutput("out_FP16", binary_data=True))
    answer = client.infer("types", inputs(binary=False), outputs=outputs, model_version="7")
    expected = direct(types)
    for name in names:
        assert "data" in answer.get_output(f"out_{name}")
        assert as_texts(answer.as_numpy(f"out_{name}")) == as_texts(expected[f"out_{name}"])
    assert as_texts(answer.as_numpy("out_FP16")) == as_texts(expected["out_FP16"])


def test_only_the_outputs_asked_for_come_in_their_order(client):
    outputs = [triton.InferRequestedOutput(f"out_{name}") for name in ("INT8", "BOOL")]
    answer = client.infer("types", inputs(), outputs=outputs)
    assert [row["name"] for row in answer.get_response()["outputs"]] == ["out_INT8", "out_BOOL"]


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_a_compressed_request_is_read(client, types, algorithm):
    answer = client.infer("types", inputs(), request_compression_algorithm=algorithm)
    assert as_texts(answer.as_numpy("out_INT64")) == as_texts(direct(types)["out_INT64"])


def test_a_plain_json_request_as_curl_sends_it(doubler):
    body = {"inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [[1, 2, 3], [4, 5, 6]]}]}
    answer = doubler.post("/v2/models/doubler/infer", json=body)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["outputs"] == [
        {"name": "y", "datatype": "FP32", "shape": [2, 3], "data": [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]}
    ]
    assert doubler.records[-1][1:] == (len(answer.request.content), len(answer.content))


def test_a_scalar_is_one_element_to_callers(tmp_path):
    server = Server(scalar(), tmp_path, "scalar")
    try:
        found = plain.get(f"http://{server.address}/v2/models/scalar").json()
        assert {"name": "rate", "datatype": "INT64", "shape": [1]} in found["inputs"]
        rows = [
            {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]},
            {"name": "rate", "shape": [1], "datatype": "INT64", "data": [3]},
        ]
        answer = server.post("/v2/models/scalar/infer", json={"inputs": rows}).json()
        assert [(row["name"], row["shape"], row["data"]) for row in answer["outputs"]] == [
            ("y", [2], [3.0, 6.0]),
            ("sum", [1], [9.0]),
        ]
    finally:
        server.stop()


def grpc_request(*, raw) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name="types", id="g-1")
    for name, (_, array) in CARRIED.items():
        row = request.inputs.add(name=f"in_{name}", datatype=name, shape=[1, 3])
        if raw:
            tensor = serialize_byte_tensor(array).item() if name == "BYTES" else array.tobytes()
            request.raw_input_contents.append(tensor)
        elif name == "BOOL":
            row.contents.bool_contents.extend(array.ravel().tolist())
        elif name == "BYTES":
            row.contents.bytes_contents.extend(array.ravel().tolist())
        elif name in ("FP32", "FP64", "INT64", "UINT64"):
            getattr(row.contents, f"{name.lower()}_contents").extend(array.ravel().tolist())
        else:
            field = "uint_contents" if name.startswith("U") else "int_contents"
            getattr(row.contents, field).extend(array.ravel().tolist() if name != "FP16" else [])
    return request


def test_a_grpc_message_travels_bare(types):
    answer = types.post(
        GRPC_INFER,
        content=grpc_request(raw=True).SerializeToString(),
        headers={"content-type": "application/grpc+proto"},
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/grpc+proto")
    response = service_pb2.ModelInferResponse.FromString(answer.content)
    assert (response.id, response.model_name, response.model_version) == ("g-1", "types", "7")
    found = InferResult(response)
    for name, expected in direct(types).items():
        assert as_texts(found.as_numpy(name)) == as_texts(expected)


def test_typed_grpc_contents_are_read(tmp_path, types):
    request = grpc_request(raw=False)
    answer = types.post(GRPC_INFER, content=request.SerializeToString())
    assert answer.status_code == 400
    assert "FP16" in answer.json()["error"], "FP16 has no typed contents"
    names = [name for name in CARRIED if name != "FP16"]
    nodes = [onnx.helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in names]
    specs = [{f"{side}_{name}": (CARRIED[name][0], ["n", 3]) for name in names} for side in ("in", "out")]
    server = Server(onnx_model(nodes, *specs), tmp_path, "types")
    try:
        rows = [row for row in request.inputs if row.datatype != "FP16"]
        typed = service_pb2.ModelInferRequest(model_name="types", inputs=rows)
        typed.outputs.add(name="out_INT16")
        typed.outputs.add(name="out_BYTES")
        answer = server.post(GRPC_INFER, content=typed.SerializeToString())
        response = service_pb2.ModelInferResponse.FromString(answer.content)
        assert [output.name for output in response.outputs] == ["out_INT16", "out_BYTES"]
        assert response.raw_output_contents[0] == CARRIED["INT16"][1].tobytes()
        assert response.raw_output_contents[1] == serialize_byte_tensor(CARRIED["BYTES"][1]).item()
    finally:
        server.stop()


X = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
TOP = {"classification": 2}
REFUSALS = [
    ("not JSON", b"{", {}, 400, "parse"),
    ("not an object", b"[]", {}, 400, "object"),
    ("nested too deep", b"[" * 100_000, {}, 400, "parse"),
    ("no inputs", {}, {}, 400, "expected 1 inputs but got 0"),
    ("unknown input", {"inputs": [{**X, "name": "z"}]}, {}, 400, "unexpected inference input 'z'"),
    ("twice", {"inputs": [X, X]}, {}, 400, "twice"),
    ("other type", {"inputs": [{**X, "datatype": "INT8"}]}, {}, 400, "expects 'FP32'"),
    ("no such type", {"inputs": [{**X, "datatype": "FP8"}]}, {}, 400, "FP8"),
    ("too few", {"inputs": [{**X, "data": [1, 2]}]}, {}, 400, "elements"),
    ("text", {"inputs": [{**X, "data": ["1", "2", "3"]}]}, {}, 400, "FP32"),
    ("ragged", {"inputs": [{**X, "data": [[1], [2, 3]]}]}, {}, 400, "FP32"),
    ("negative axis", {"inputs": [{**X, "shape": [-1, 3]}]}, {}, 400, "whole numbers"),
    ("huge axis", {"inputs": [{**X, "shape": [2**40, 3]}]}, {}, 400, "elements"),
    ("wrong axis", {"inputs": [{**X, "shape": [3, 1]}]}, {}, 400, "cannot take"),
    ("no data", {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32"}]}, {}, 400, "data"),
    ("unknown output", {"inputs": [X], "outputs": [{"name": "z"}]}, {}, 400, "unexpected inference output"),
    ("classification", {"inputs": [X], "outputs": [{"name": "y", "parameters": TOP}]}, {}, 501, "class"),
    ("binary beyond", {"inputs": [{**X, "parameters": {"binary_data_size": 12}}]}, {}, 400, "binary_data_size"),
    ("bad length", {"inputs": [X]}, {"inference-header-content-length": "99999"}, 400, "Content-Length"),
    ("bad encoding", {"inputs": [X]}, {"content-encoding": "br"}, 400, "br"),
    ("not gzip", {"inputs": [X]}, {"content-encoding": "gzip"}, 400, "gzip"),
    ("a bomb", gzip.compress(b" " * 2**25), {"content-encoding": "gzip"}, 400, "unfolds"),
    ("too large", b" " * (2**24 + 1), {}, 413, "larger"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "headers", "status", "word"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_what_cannot_be_answered_is_refused_in_tritons_shape(doubler, body, headers, status, word):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = doubler.post("/v2/models/doubler/infer", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert word in answer.json()["error"]


def test_a_model_or_path_that_is_not_here_is_404(doubler, client):
    for path in ("/v2/models/other/infer", "/v2/models/doubler/versions/8/infer", "/v2/repository/index", "/nothing"):
        answer = doubler.post(path, json={})
        assert answer.status_code == 404
        assert answer.json()["error"]
    with pytest.raises(InferenceServerException, match="does not hold"):
        client.infer("other", inputs())


def test_a_car_that_may_not_answer_does_not(doubler):
    doubler.accepting = False
    try:
        before = len(doubler.records)
        for path in ("/v2/models/doubler/infer", GRPC_INFER):
            assert doubler.post(path, json={"inputs": [X]}).status_code == 503
        assert plain.get(f"http://{doubler.address}/v2/models/doubler/ready").status_code == 503
        assert plain.get(f"http://{doubler.address}/v2/health/live").status_code == 200
        assert len(doubler.records) == before
    finally:
        doubler.accepting = True


def test_work_never_blocks_the_loop_and_stops_when_the_caller_hangs_up_or_time_is_over(tmp_path):
    server = Server(slow(1500), tmp_path, "slow")
    body = np.zeros((256, 256), np.float32).tobytes()
    head = json.dumps(
        {
            "inputs": [
                {"name": "x", "shape": [256, 256], "datatype": "FP32", "parameters": {"binary_data_size": len(body)}}
            ]
        }
    ).encode()
    headers = {"inference-header-content-length": str(len(head))}

    async def scenario() -> None:
        async with httpx.AsyncClient(base_url=f"http://{server.address}", timeout=60) as http:
            answer = await http.post(
                "/v2/models/slow/infer", content=head + body, headers=headers | {"parkade-timeout-ms": "50"}
            )
            assert answer.status_code == 504
            asking = asyncio.create_task(http.post("/v2/models/slow/infer", content=head + body, headers=headers))
            live = await http.get("/v2/health/live")
            assert (live.status_code, asking.done()) == (200, False)
            asking.cancel()
            await asyncio.wait([asking])
            # the one thread is free again long before the model would have ended
            free = asyncio.get_running_loop().run_in_executor(server.executor, lambda: None)
            await asyncio.wait_for(free, 5)

    try:
        asyncio.run(scenario())
        assert server.records == []
    finally:
        server.stop()
