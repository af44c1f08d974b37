"""Secrets that manifests name, read by name when they are needed; their content is neither kept nor logged here."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from parkade.cluster.client import ClusterClient
from parkade.cluster.resources import SECRETS
from parkade.errors import ClusterRefused


def control_headers(client: ClusterClient, namespace: str, name: str) -> Mapping[str, str]:
    """Headers for Triton's model control: keys `header` and `value`, or each key a header's name.

    Raises:
        ClusterUnavailable: the API server does not answer.
        ClusterRefused: the Secret is not there, may not be read, or is no text; the message has none of its content.
    """
    content = _content(client, namespace, name)
    return {content["header"]: content["value"]} if content.keys() == {"header", "value"} else content


def storage_options(client: ClusterClient, namespace: str, name: str) -> dict[str, Any]:
    """Fsspec storage options of a source: one for each key; a value that begins with { is JSON. Raises as above."""
    return {key: _option(namespace, name, key, text) for key, text in _content(client, namespace, name).items()}


def _option(namespace: str, name: str, key: str, text: str) -> Any:  # noqa: ANN401 -- any JSON
    if not text.lstrip().startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise _unreadable(namespace, name, f"{key} begins with {{ and is not JSON; correct it") from None


def _content(client: ClusterClient, namespace: str, name: str) -> dict[str, str]:
    try:
        encoded = client.get(SECRETS.path(namespace, name)).get("data") or {}
    except ClusterRefused as refusal:
        said = "it is not there; create it" if refusal.not_found else "the operator may not read it; grant it `get`"
        raise _unreadable(namespace, name, said) from None
    try:
        return {key: base64.b64decode(value).decode().strip() for key, value in sorted(encoded.items())}
    except ValueError:
        raise _unreadable(namespace, name, "its values are no text; write them as text") from None


def _unreadable(namespace: str, name: str, problem: str) -> ClusterRefused:
    return ClusterRefused(f"Secret {namespace}/{name} cannot be used: {problem}", status=404)
