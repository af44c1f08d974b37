"""Routers: what they observed of their requests."""

from typing import Final

import httpx
from pydantic import ValidationError

from parkade.errors import RouterUnavailable
from parkade.snapshot.observed import RouterReport

LONGEST: Final = 16 << 20
"""Bytes of a report: about 1 KiB a workload."""


def read_observed(client: httpx.Client, address: str, timeout: float) -> RouterReport:
    """`GET /v1/observed` at `host:port`; `timeout` in seconds for each step of it.

    Raises:
        RouterUnavailable: it does not answer, or not as a router does.
    """
    try:
        with client.stream("GET", f"http://{address}/v1/observed", timeout=timeout) as answer:
            answer.raise_for_status()
            body = bytearray()
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > LONGEST:
                    raise RouterUnavailable(f"the router at {address} tells more than {LONGEST} bytes; restart it")
        return RouterReport.model_validate_json(bytes(body))
    except (httpx.HTTPError, httpx.InvalidURL, ValidationError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RouterUnavailable(
            f"the router at {address} does not tell what it observed ({said}); check that the operator reaches its"
            " --advertise-metrics"
        ) from None
