"""An OpenTelemetry collector that keeps what it is sent: OTLP over HTTP, decoded by the official messages."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message

from router.places import until

SERVER, CLIENT, INTERNAL = Message.SPAN_KIND_SERVER, Message.SPAN_KIND_CLIENT, Message.SPAN_KIND_INTERNAL


def _plain(attributes: "Iterator[KeyValue]") -> dict[str, str | int]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}


@dataclass(frozen=True)
class Span:
    """One span; ids in hexadecimal, as `traceparent` has them."""

    message: Message
    resource: dict[str, str | int]

    @property
    def name(self) -> str:
        return self.message.name

    @property
    def kind(self) -> int:
        return self.message.kind

    @property
    def trace(self) -> str:
        return self.message.trace_id.hex()

    @property
    def id(self) -> str:
        return self.message.span_id.hex()

    @property
    def parent(self) -> str:
        return self.message.parent_span_id.hex()

    @property
    def failed(self) -> bool:
        return self.message.status.code == self.message.status.STATUS_CODE_ERROR

    @property
    def seconds(self) -> float:
        return (self.message.end_time_unix_nano - self.message.start_time_unix_nano) / 1e9

    @property
    def traceparent(self) -> str:
        """What whoever is asked below this span should see."""
        return f"00-{self.trace}-{self.id}-01"

    @property
    def said(self) -> dict[str, str | int]:
        return _plain(self.message.attributes)


@dataclass
class Collector:
    """Listens on a port of its own."""

    spans: list[Span] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    address: str = ""

    @property
    def flags(self) -> tuple[str, ...]:
        """A router that sends all its spans here."""
        return ("--otlp-endpoint", self.address, "--trace-percent", "100")

    def take(self, path: str, body: bytes) -> None:
        self.paths.add(path)
        for part in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _plain(part.resource.attributes)
            self.spans.extend(Span(span, resource) for scope in part.scope_spans for span in scope.spans)

    def first(self, count: int) -> list[Span]:
        """Spans in the order of their start, once there are so many; more would be a mistake."""
        until(lambda: len(self.spans) >= count)
        assert len(self.spans) == count, [span.name for span in self.spans]
        return sorted(self.spans, key=lambda span: span.message.start_time_unix_nano)


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.headers["content-type"] == "application/x-protobuf"
            collector.take(self.path, self.rfile.read(int(self.headers["content-length"])))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
