"""Requests of KServe v2, endpoint by endpoint, and what an answer to one comes down to."""

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import numpy as np
from google.protobuf import json_format
from tritonclient.grpc import service_pb2, service_pb2_grpc

from router.places import MODEL

X = np.array([1.5, -2.0, 3.25], np.float32)
JSON_INPUT = {"name": "x", "shape": [3], "datatype": "FP32", "data": X.tolist()}


@dataclass(frozen=True)
class Seen:
    """An answer without what may differ: ids of the places, times, counts."""

    status: str
    """HTTP status, or the name of the gRPC code."""
    error: str = ""
    content: Any = None
    """Tensors by name, metadata, or nothing."""


@dataclass
class Ends:
    """Where to send the same request."""

    http: httpx.Client
    stub: service_pb2_grpc.GRPCInferenceServiceStub
    channel: grpc.Channel


@dataclass(frozen=True)
class Exchange:
    """One request."""

    name: str
    send: Callable[[Ends], Seen] = field(repr=False)


# HTTP


def _http(name: str, method: str, path: str, body: Any = None, **headers: str) -> Exchange:
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    named = {key.replace("_", "-"): value for key, value in headers.items()}

    def send(ends: Ends) -> Seen:
        request = ends.http.build_request(method, path, content=content, headers=named)
        return _http_seen(ends.http.send(request))

    return Exchange(f"HTTP {name}", send)


def _http_seen(answer: httpx.Response) -> Seen:
    length = answer.headers.get("inference-header-content-length")
    head = answer.content[: int(length)] if length else answer.content
    try:
        told = json.loads(head) if head else None
    except ValueError:
        return Seen(str(answer.status_code), answer.text)
    if isinstance(told, dict) and "error" in told:
        return Seen(str(answer.status_code), told["error"])
    if isinstance(told, dict) and "outputs" in told and "model_name" in told:
        told = told | {"outputs": _http_tensors(told["outputs"], answer.content[len(head) :])}
    encoding = answer.headers.get("content-encoding", "")
    return Seen(str(answer.status_code), "", _steady((told, encoding, bool(length))))


def _http_tensors(outputs: list[dict[str, Any]], binary: bytes) -> list[Any]:
    tensors = []
    for output in outputs:
        size = output.get("parameters", {}).get("binary_data_size")
        data = output.get("data") if size is None else np.frombuffer(binary[:size], np.float32).tolist()
        binary = binary[size or 0 :]
        tensors.append((output["name"], output["datatype"], output["shape"], size, data))
    assert not binary
    return tensors


def _steady(told: Any) -> Any:
    """Statistics count and time what was asked before; their names stay."""
    if isinstance(told, dict):
        counts = ("count", "ns", "last_inference", "batch_size")
        return {k: "number" if k.endswith(counts) else _steady(v) for k, v in told.items() if k != "memory_usage"}
    return [_steady(entry) for entry in told] if isinstance(told, list | tuple) else told


def _infer(name: str, body: Any, path: str = f"/v2/models/{MODEL}/infer", **headers: str) -> Exchange:
    return _http(f"infer: {name}", "POST", path, body, **headers)


def _json(**changed: Any) -> dict[str, Any]:
    return {"inputs": [JSON_INPUT | changed]}


def _binary(*, size: int = X.nbytes, outputs: bool = True) -> tuple[bytes, dict[str, str]]:
    tensor = {"name": "x", "shape": [3], "datatype": "FP32", "parameters": {"binary_data_size": size}}
    asked = {"inputs": [tensor]} | (
        {"outputs": [{"name": "y", "parameters": {"binary_data": True}}]} if outputs else {}
    )
    head = json.dumps(asked).encode()
    return head + X.tobytes(), {"Inference_Header_Content_Length": str(len(head))}


def _classes(count: int) -> dict[str, Any]:
    return _json() | {"outputs": [{"name": "y", "parameters": {"classification": count}}]}


def http_exchanges() -> list[Exchange]:
    plain, (body, length) = json.dumps(_json()).encode(), _binary()
    short, short_length = _binary(size=X.nbytes + 4)
    shared = {"shared_memory_region": "r", "shared_memory_byte_size": 12}
    in_memory = {"name": "x", "shape": [3], "datatype": "FP32", "parameters": shared}
    return [
        _http("server live", "GET", "/v2/health/live"),
        _http("server ready", "GET", "/v2/health/ready"),
        _http("server metadata", "GET", "/v2"),
        _http("model ready", "GET", f"/v2/models/{MODEL}/ready"),
        _http("model ready, unknown model", "GET", "/v2/models/nope/ready"),
        _http("model ready, version 1", "GET", f"/v2/models/{MODEL}/versions/1/ready"),
        _http("model ready, unknown version", "GET", f"/v2/models/{MODEL}/versions/9/ready"),
        _http("model metadata", "GET", f"/v2/models/{MODEL}"),
        _http("model metadata, version 1", "GET", f"/v2/models/{MODEL}/versions/1"),
        _http("model metadata, unknown version", "GET", f"/v2/models/{MODEL}/versions/9"),
        _http("model metadata, unknown model", "GET", "/v2/models/nope"),
        _http("model config", "GET", f"/v2/models/{MODEL}/config"),
        _http("model config, unknown model", "GET", "/v2/models/nope/config"),
        _http("model statistics", "GET", f"/v2/models/{MODEL}/stats"),
        _http("model statistics, unknown model", "GET", "/v2/models/nope/stats"),
        _infer("JSON", _json()),
        _infer("JSON with an id, parameters and outputs", _json() | {"id": "7", "outputs": [{"name": "y"}]}),
        _infer("version 1", _json(), f"/v2/models/{MODEL}/versions/1/infer"),
        _infer("unknown version", _json(), f"/v2/models/{MODEL}/versions/9/infer"),
        _infer("unknown model", _json(), "/v2/models/nope/infer"),
        _infer("binary tensors", body, **length),
        _infer("binary input, JSON output", _binary(outputs=False)[0], **_binary(outputs=False)[1]),
        _infer("gzip", gzip.compress(plain, mtime=0), Content_Encoding="gzip"),
        _infer("deflate", zlib.compress(plain), Content_Encoding="deflate"),
        _infer("gzip answer", _json(), Accept_Encoding="gzip"),
        _infer("gzip, binary tensors", gzip.compress(body, mtime=0), Content_Encoding="gzip", **length),
        _infer("not gzip though it says so", plain, Content_Encoding="gzip"),
        _infer("empty", b""),
        _infer("not JSON", b"{not json"),
        _infer("no inputs", {}),
        _infer("inputs that are no list", {"inputs": 7}),
        _infer("bad shape", _json(shape=[3, 1])),
        _infer("shape and data that disagree", _json(shape=[4])),
        _infer("negative shape", _json(shape=[-3])),
        _infer("bad datatype", _json(datatype="INT32", data=[1, 2, 3])),
        _infer("unknown datatype", _json(datatype="FP31")),
        _infer("missing input", {"inputs": [JSON_INPUT | {"name": "z"}]}),
        _infer("input too many", {"inputs": [JSON_INPUT, JSON_INPUT | {"name": "z"}]}),
        _infer("unknown output", _json() | {"outputs": [{"name": "z"}]}),
        _infer("fewer bytes than announced", short, **short_length),
        _infer("JSON part longer than the body", plain, Inference_Header_Content_Length=str(len(plain) + 9)),
        _infer("length of the JSON part that is no number", plain, Inference_Header_Content_Length="x"),
        _infer("classification", _classes(2)),
        _infer("unknown shared memory", {"inputs": [in_memory]}),
        _infer("body over --max-body", _json(data=[0.1] * 400_000, shape=[400_000])),
        _http("infer by GET", "GET", f"/v2/models/{MODEL}/infer"),
        _http("model metadata by POST", "POST", f"/v2/models/{MODEL}", {}),
        _http("server live by POST", "POST", "/v2/health/live", {}),
        _http("unknown path", "GET", "/v2/nothing"),
        _http("path of KServe v1", "POST", f"/v1/models/{MODEL}:predict", {}),
        _http("model index", "POST", "/v2/repository/index", {}),
        _http("generate", "POST", f"/v2/models/{MODEL}/generate", {"x": 1.0}),
        _http("trace settings", "GET", "/v2/trace/setting"),
        _http("shared memory", "GET", "/v2/systemsharedmemory/status"),
    ]  # fmt: skip


# gRPC


def _grpc(name: str, call: Callable[[Ends], Any]) -> Exchange:
    def send(ends: Ends) -> Seen:
        try:
            return Seen("OK", "", _grpc_content(call(ends)))
        except grpc.RpcError as error:
            return Seen(error.code().name, error.details())

    return Exchange(f"gRPC {name}", send)


def _grpc_content(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_grpc_content(entry) for entry in answer]
    if isinstance(answer, service_pb2.ModelStreamInferResponse):
        return answer.error_message or _grpc_content(answer.infer_response)
    return _steady(json_format.MessageToDict(answer, preserving_proto_field_name=True))


_OF_INPUT = ("name", "datatype", "shape", "contents", "parameters")


def request(**changed: Any) -> service_pb2.ModelInferRequest:
    """An inference with `x` as raw bytes; fields of the input by name, or of the request itself."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [3]}
    tensor |= {key: changed.pop(key) for key in tuple(changed) if key in _OF_INPUT}
    raw = [] if "contents" in tensor else [X.tobytes()]
    fields = {"model_name": MODEL, "raw_input_contents": raw} | changed
    return service_pb2.ModelInferRequest(inputs=[tensor], **fields)


def _model_infer(title: str, **changed: Any) -> Exchange:
    return _grpc(f"ModelInfer: {title}", lambda ends: ends.stub.ModelInfer(request(**changed), timeout=20))


def _stream(name: str, *requests: service_pb2.ModelInferRequest) -> Exchange:
    return _grpc(f"ModelStreamInfer: {name}", lambda ends: list(ends.stub.ModelStreamInfer(iter(requests), timeout=20)))


def _asked(name: str, method: str, message: Any) -> Exchange:
    return _grpc(name, lambda ends: getattr(ends.stub, method)(message, timeout=20))


def grpc_exchanges() -> list[Exchange]:
    pb = service_pb2
    class_of = pb.ModelInferRequest.InferRequestedOutputTensor
    classes = class_of(name="y", parameters={"classification": pb.InferParameter(int64_param=2)})
    typed = pb.InferTensorContents(fp32_contents=X.tolist())
    return [
        _asked("ServerLive", "ServerLive", pb.ServerLiveRequest()),
        _asked("ServerReady", "ServerReady", pb.ServerReadyRequest()),
        _asked("ServerMetadata", "ServerMetadata", pb.ServerMetadataRequest()),
        _asked("ModelReady", "ModelReady", pb.ModelReadyRequest(name=MODEL)),
        _asked("ModelReady, unknown model", "ModelReady", pb.ModelReadyRequest(name="nope")),
        _asked("ModelReady, unknown version", "ModelReady", pb.ModelReadyRequest(name=MODEL, version="9")),
        _asked("ModelMetadata", "ModelMetadata", pb.ModelMetadataRequest(name=MODEL)),
        _asked("ModelMetadata, unknown version", "ModelMetadata", pb.ModelMetadataRequest(name=MODEL, version="9")),
        _asked("ModelMetadata, unknown model", "ModelMetadata", pb.ModelMetadataRequest(name="nope")),
        _asked("ModelConfig", "ModelConfig", pb.ModelConfigRequest(name=MODEL)),
        _asked("ModelConfig, unknown model", "ModelConfig", pb.ModelConfigRequest(name="nope")),
        _asked("ModelStatistics", "ModelStatistics", pb.ModelStatisticsRequest(name=MODEL)),
        _asked("ModelStatistics, unknown model", "ModelStatistics", pb.ModelStatisticsRequest(name="nope")),
        _model_infer("raw tensors"),
        _model_infer("typed contents", contents=typed),
        _model_infer("with an id and outputs", id="7", outputs=[class_of(name="y")]),
        _model_infer("version 1", model_version="1"),
        _model_infer("unknown version", model_version="9"),
        _model_infer("unknown model", model_name="nope"),
        _model_infer("bad shape", shape=[3, 1]),
        _model_infer("shape and data that disagree", shape=[4]),
        _model_infer("bad datatype", datatype="INT32"),
        _model_infer("unknown datatype", datatype="FP31"),
        _model_infer("missing input", name="z"),
        _model_infer("no data", raw_input_contents=[]),
        _model_infer("unknown output", outputs=[class_of(name="z")]),
        _model_infer("classification", outputs=[classes]),
        _model_infer("message over --max-body", shape=[400_000], raw_input_contents=[bytes(1_600_000)]),
        _model_infer("unknown shared memory", raw_input_contents=[], parameters={
            "shared_memory_region": pb.InferParameter(string_param="r"),
            "shared_memory_byte_size": pb.InferParameter(int64_param=12)}),
        _grpc("ModelInfer: gzip", lambda ends: ends.stub.ModelInfer(
            request(), timeout=20, compression=grpc.Compression.Gzip)),
        _grpc("ModelInfer: not protobuf", lambda ends: ends.channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer", response_deserializer=pb.ModelInferResponse.FromString)(
            b"\xff\xff\xff", timeout=20)),
        _stream("two requests", request(id="1"), request(id="2")),
        _stream("nothing"),
        _stream("a bad shape between two good ones", request(id="1"), request(id="2", shape=[3, 1]), request(id="3")),
        _stream("unknown model", request(model_name="nope")),
        _asked("RepositoryIndex", "RepositoryIndex", pb.RepositoryIndexRequest()),
        _asked("TraceSetting", "TraceSetting", pb.TraceSettingRequest()),
        _grpc("unknown method", lambda ends: ends.channel.unary_unary(
            "/inference.GRPCInferenceService/Nothing", response_deserializer=pb.ServerLiveResponse.FromString)(
            b"", timeout=20)),
    ]  # fmt: skip
