"""Bills of materials: what is in them is what the locks name, and equal locks give equal bytes."""

import json
from pathlib import Path

import pytest

from localnode.sbom import write_all

pytestmark = pytest.mark.slow  # on a new machine Go and Cargo fetch first what they list


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_all(tmp_path_factory.mktemp("bills"))


def purls(bill: Path) -> set[str]:
    return {component["purl"] for component in json.loads(bill.read_text())["components"]}


def test_equal_locks_give_equal_bytes(bills: dict[str, Path], tmp_path: Path) -> None:
    again = write_all(tmp_path)
    assert {name: bill.read_bytes() for name, bill in again.items()} == {
        name: bill.read_bytes() for name, bill in bills.items()
    }


@pytest.mark.parametrize(
    ("image", "parts", "never"),
    [
        ("parkade-operator", ("pkg:pypi/kopf@", "pkg:pypi/highspy@", "pkg:cargo/pyo3@"), "pkg:pypi/pytest@"),
        ("carlet", ("pkg:golang/k8s.io/client-go@", "pkg:golang/github.com/nats-io/nats.go@"), "pkg:golang/go.etcd"),
        ("parkade-router", ("pkg:cargo/tokio@", "pkg:cargo/rustls@"), "pkg:cargo/pyo3@"),
    ],
)  # fmt: skip
def test_a_bill_names_what_is_in_the_image_and_no_more(
    image: str, parts: tuple[str, ...], never: str, bills: dict[str, Path]
) -> None:
    named = purls(bills[image])
    for part in parts:
        assert any(purl.startswith(part) for purl in named), part
    assert not any(purl.startswith(never) for purl in named)
