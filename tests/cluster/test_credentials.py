"""Secrets that manifests name, from a real API server."""

import pytest

from parkade.cluster import ClusterClient, control_headers, storage_options
from parkade.cluster.resources import SECRETS
from parkade.errors import ClusterRefused

pytestmark = pytest.mark.cluster


def secret(client: ClusterClient, namespace: str, **text: str) -> None:
    meta = {"name": "named"}
    body = {"apiVersion": SECRETS.api, "kind": SECRETS.kind, "metadata": meta, "stringData": text}
    client.create(SECRETS.path(namespace), body)


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ({"header": "x-control", "value": "hunter2"}, {"x-control": "hunter2"}),
        ({"x-control": "hunter2", "x-more": "1"}, {"x-control": "hunter2", "x-more": "1"}),
    ],
)
def test_headers_are_named_or_keyed(client: ClusterClient, namespace: str, text, headers) -> None:
    secret(client, namespace, **text)
    assert control_headers(client, namespace, "named") == headers


def test_storage_options_are_texts_or_json(client: ClusterClient, namespace: str) -> None:
    secret(client, namespace, key="id", secret="0123", headers='{"Authorization": "Bearer t0ken"}')  # noqa: S106
    assert storage_options(client, namespace, "named") == {
        "key": "id", "secret": "0123", "headers": {"Authorization": "Bearer t0ken"},
    }  # fmt: skip


def test_what_cannot_be_used_is_told_without_its_content(client: ClusterClient, namespace: str) -> None:
    with pytest.raises(ClusterRefused, match="named cannot be used: it is not there; create it"):
        control_headers(client, namespace, "named")
    secret(client, namespace, headers="{hunter2")
    with pytest.raises(ClusterRefused, match=r"headers begins with . and is not JSON") as refusal:
        storage_options(client, namespace, "named")
    assert "hunter2" not in str(refusal.value)
