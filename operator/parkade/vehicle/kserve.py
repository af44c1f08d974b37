"""The KServe v2 protocol for one model, as a plain ASGI application; the wire forms are those of Triton."""

import asyncio
import json
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from parkade.errors import ModelRejected
from parkade.vehicle import tensors
from parkade.vehicle.runtime import Cancellation, Model
from parkade.vehicle.tensors import Array, BadRequest, NotHere, TensorSpec

MAX_BODY: Final = 16 * 2**20
"""Bytes of a request body, also after decompression; the router sends cars at most half of this."""
EXTENSIONS: Final = ["binary_tensor_data", "parameters"]
HEADER_LENGTH: Final = "inference-header-content-length"
GRPC_INFER: Final = "/inference.GRPCInferenceService/ModelInfer"
SERVER_PATHS: Final = frozenset({"/v2", "/v2/", "/v2/health/live", "/v2/health/ready"})
MODEL_PATH: Final = re.compile(r"/v2/models/(?P<name>[^/]+)(/versions/(?P<version>[^/]+))?(?P<verb>|/ready|/infer)")
GRPC_TYPE: Final = "application/grpc+proto"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body of one response."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, value: object, status: int = 200) -> "Answer":
        """Return a JSON answer."""
        return cls(status, json.dumps(value).encode(), (("content-type", "application/json"),))

    @classmethod
    def error(cls, status: int, sentence: str) -> "Answer":
        """Return an error in Triton's shape."""
        return cls.of({"error": sentence}, status)


@dataclass(frozen=True, slots=True)
class Call:
    """One inference, as the protocol's two forms have it in common."""

    id: str
    feeds: dict[str, Array]
    wanted: tuple[str, ...]
    """Names of the outputs asked for; empty for all."""


@dataclass(frozen=True, slots=True)
class Served:
    """What the application offers, and where its work is done."""

    name: str
    version: str
    model: Model
    executor: Executor
    accepts: Callable[[], bool]
    """Whether the owner's contract and the plan let the car answer now."""
    record: Callable[[float, int, int], None]
    """Told of every answered request: seconds of work, bytes in, bytes out."""
    busy: Callable[[], AbstractContextManager[None]] = nullcontext
    """Entered while the computer works on a request, whatever comes of it."""


class KServe:
    """The ASGI application: health, metadata and inference of one model."""

    def __init__(self, served: Served) -> None:
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; work runs in the executor, so that the loop stays free for health and withdrawal."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        answer = await self._route(scope["method"], scope["path"], headers, receive)
        if answer is None:
            return
        lines = [(name.encode(), value.encode()) for name, value in answer.headers]
        lines.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": lines})
        await send({"type": "http.response.body", "body": answer.body})

    async def _route(self, method: str, path: str, headers: Headers, receive: Receive) -> Answer | None:
        """Pick by method and path; a version in the path must be the one held."""
        served = self._served
        if (method, path) == ("POST", GRPC_INFER):
            return await self._infer(headers, receive, grpc=True)
        if method == "GET" and path in SERVER_PATHS:
            return _server_answer(path, served)
        found = MODEL_PATH.fullmatch(path)
        if found and (found["name"], found["version"] or served.version) != (served.name, served.version):
            return Answer.error(404, f"this car does not hold {path[:200]}")
        if found and (method, found["verb"]) == ("POST", "/infer"):
            return await self._infer(headers, receive, grpc=False)
        if found and method == "GET" and found["verb"] in ("", "/ready"):
            return _ready(served) if found["verb"] else Answer.of(metadata(served))
        return Answer.error(404, f"there is no {method} {path[:200]} in a car")

    async def _infer(self, headers: Headers, receive: Receive, *, grpc: bool) -> Answer | None:
        """Read the body, work in a thread, and stop the work when the router hangs up; None when it did."""
        served = self._served
        if not served.accepts():
            return Answer.error(503, f"this car does not serve {served.name} now")
        body = await _read_body(receive)
        if body is None:
            return Answer.error(413, f"the request is larger than the {MAX_BODY} bytes that a car takes")
        cancellation = Cancellation()
        job: asyncio.Future[Answer] = asyncio.get_running_loop().run_in_executor(
            served.executor, _work, served, headers, body, cancellation, grpc
        )
        hung_up = asyncio.ensure_future(_hang_up(receive))
        both: set[asyncio.Future[Any]] = {job, hung_up}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED, timeout=_time_left(headers))
            if job.done():
                return job.result()
            cancellation.cancel()
            return None if hung_up.done() else Answer.error(504, "the time that the caller allows is over")
        finally:
            hung_up.cancel()


def _ready(served: Served) -> Answer:
    return Answer(200 if served.accepts() else 503)


def _server_answer(path: str, served: Served) -> Answer:
    if path == "/v2/health/live":
        return Answer(200)
    if path == "/v2/health/ready":
        return _ready(served)
    return Answer.of({"name": "parkade-vehicle", "version": "1", "extensions": EXTENSIONS})


def metadata(served: Served) -> dict[str, Any]:
    """Return the model's metadata as `GET /v2/models/NAME` has it."""

    def rows(specs: tuple[TensorSpec, ...]) -> list[dict[str, Any]]:
        return [{"name": t.name, "datatype": t.datatype, "shape": list(t.protocol_shape)} for t in specs]

    return {
        "name": served.name,
        "versions": [served.version],
        "platform": served.model.platform,
        "inputs": rows(served.model.inputs),
        "outputs": rows(served.model.outputs),
    }


def _time_left(headers: Headers) -> float | None:
    text = headers.get("parkade-timeout-ms", "")
    return int(text) / 1000 if text.isdecimal() and len(text) < 10 else None


async def _hang_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read_body(receive: Receive) -> bytes | None:
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        event = await receive()
        if event["type"] != "http.request":
            return b""
        chunk = event.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY:
            return None
        chunks.append(chunk)
        more = event.get("more_body", False)
    return b"".join(chunks)


def _work(served: Served, headers: Headers, body: bytes, cancellation: Cancellation, grpc: bool) -> Answer:  # noqa: FBT001 -- chosen by the route
    """Decode, infer, encode: all that costs time, in one thread."""
    if cancellation.cancelled:
        return Answer.error(503, "cancelled")
    start = monotonic()
    try:
        with served.busy():
            if grpc:
                from parkade.vehicle import kserve_grpc  # noqa: PLC0415 -- loaded with the first model, not before

                answer = kserve_grpc.answer(served, body, cancellation)
            else:
                answer = _answer_http(served, headers, body, cancellation)
    except BadRequest as error:
        return Answer.error(400, str(error))
    except NotHere as error:
        return Answer.error(501, str(error))
    except ModelRejected as error:
        return Answer.error(500, str(error))
    served.record(monotonic() - start, len(body), len(answer.body))
    return answer


def infer(served: Served, call: Call, cancellation: Cancellation) -> list[tuple[TensorSpec, Array]]:
    """Check a call against the model and run it; outputs in the order asked for.

    Raises:
        BadRequest: an input or output does not exist, is missing, or has another type.
        ModelRejected: the model failed.
    """
    model = served.model
    known = {spec.name: spec for spec in model.inputs}
    for name in call.feeds:
        if name not in known:
            raise BadRequest(f"unexpected inference input '{name}' for model '{served.name}'")
    if len(call.feeds) != len(known):
        raise BadRequest(f"expected {len(known)} inputs but got {len(call.feeds)} inputs for model '{served.name}'")
    outputs = {spec.name: spec for spec in model.outputs}
    for name in call.wanted:
        if name not in outputs:
            raise BadRequest(f"unexpected inference output '{name}' for model '{served.name}'")
    wanted = call.wanted or tuple(outputs)
    arrays = model.infer(call.feeds, wanted, cancellation)
    return [(outputs[name], array) for name, array in zip(wanted, arrays, strict=True)]


def check_type(served: Served, name: str, datatype: object) -> None:
    """Refuse an input of another type than the model's.

    Raises:
        BadRequest: the types differ.
    """
    for spec in served.model.inputs:
        if spec.name == name and spec.datatype != datatype:
            raise BadRequest(
                f"inference input '{name}' data-type is '{datatype}', but model '{served.name}' "
                f"expects '{spec.datatype}'"
            )


def _answer_http(served: Served, headers: Headers, body: bytes, cancellation: Cancellation) -> Answer:
    body = _decompress(body, headers.get("content-encoding", ""))
    header, binary = _split(body, headers.get(HEADER_LENGTH))
    call = Call(str(header.get("id", "")), _feeds(served, header, binary), _wanted(header))
    forms = _binary_outputs(header)
    rows: list[dict[str, Any]] = []
    tails: list[bytes] = []
    for spec, array in infer(served, call, cancellation):
        row: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype, "shape": list(array.shape)}
        if forms(spec.name):
            tails.append(tensors.to_binary(array, spec.datatype))
            row["parameters"] = {"binary_data_size": len(tails[-1])}
        else:
            row["data"] = tensors.to_json(array, spec.datatype)
        rows.append(row)
    identity = {"id": call.id} if call.id else {}
    head = json.dumps(
        {**identity, "model_name": served.name, "model_version": served.version, "outputs": rows}
    ).encode()
    if not tails:
        return Answer(200, head, (("content-type", "application/json"),))
    lines = (("content-type", "application/octet-stream"), (HEADER_LENGTH, str(len(head))))
    return Answer(200, b"".join([head, *tails]), lines)


def _decompress(body: bytes, encoding: str) -> bytes:
    windows = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
    if encoding in ("", "identity"):
        return body
    if encoding not in windows:
        raise BadRequest(f"content-encoding {encoding[:40]!r} is unknown; send gzip, deflate or none")
    unpacker = zlib.decompressobj(windows[encoding])
    try:
        plain = unpacker.decompress(body, MAX_BODY)
    except zlib.error as error:
        raise BadRequest(f"the body is not {encoding}") from error
    if unpacker.unconsumed_tail:
        raise BadRequest(f"the body unfolds to more than {MAX_BODY} bytes")
    if not unpacker.eof:
        raise BadRequest(f"the {encoding} body ends too early")
    return plain


def _split(body: bytes, length: str | None) -> tuple[dict[str, Any], memoryview]:
    if length is not None and (not length.isdecimal() or len(length) > 9 or int(length) > len(body)):
        raise BadRequest(f"Inference-Header-Content-Length {length[:40]!r} is not a length within the body")
    end = len(body) if length is None else int(length)
    try:
        header = json.loads(body[:end])
    except (ValueError, RecursionError) as error:
        raise BadRequest("failed to parse the request JSON") from error
    if not isinstance(header, dict):
        raise BadRequest("the request JSON is not an object")
    return header, memoryview(body)[end:]


def _rows(header: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    rows = header.get(field) or []
    if not isinstance(rows, list) or not all(isinstance(r, dict) and isinstance(r.get("name"), str) for r in rows):
        raise BadRequest(f"'{field}' is not a list of objects with a name")
    if len({row["name"] for row in rows}) != len(rows):
        raise BadRequest(f"'{field}' names a tensor twice")
    return rows


def _parameters(row: Mapping[str, Any]) -> dict[str, Any]:
    parameters = row.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise BadRequest("'parameters' is not an object")
    if "shared_memory_region" in parameters or parameters.get("classification"):
        raise NotHere("cars do not do shared memory or classification")
    return parameters


def _feeds(served: Served, header: Mapping[str, Any], binary: memoryview) -> dict[str, Array]:
    feeds: dict[str, Array] = {}
    for row in _rows(header, "inputs"):
        name, datatype = row["name"], row.get("datatype")
        check_type(served, name, datatype)
        tensors.dtype_of(datatype, name)
        shape = tensors.shape_of(row.get("shape"), name)
        size = _parameters(row).get("binary_data_size")
        if size is None:
            feeds[name] = tensors.from_json(row.get("data"), str(datatype), shape, name)
            continue
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(binary):
            raise BadRequest(f"input '{name}' has a binary_data_size that the body does not hold")
        feeds[name] = tensors.from_binary(binary[:size], str(datatype), shape, name)
        binary = binary[size:]
    if len(binary):
        raise BadRequest(f"{len(binary)} bytes of the body belong to no input")
    return feeds


def _wanted(header: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row["name"] for row in _rows(header, "outputs"))


def _binary_outputs(header: Mapping[str, Any]) -> Callable[[str], bool]:
    """Which outputs go in binary: an output's own parameter, else the request's `binary_data_output`."""
    default = bool(_parameters(header).get("binary_data_output", False))
    own = {row["name"]: _parameters(row).get("binary_data") for row in _rows(header, "outputs")}

    def binary(name: str) -> bool:
        choice = own.get(name)
        return default if choice is None else bool(choice)

    return binary
