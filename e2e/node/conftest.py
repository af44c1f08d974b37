"""One node for all tests of the chart on real pods, and a Triton server beside it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from demo.client import Load
from demo.inputs import Sample, samples
from demo.models import MODELS, fetch
from go_tools import go_tool
from localnode import images, programs, serving
from localnode.node import Node
from localnode.release import Release

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A Ready node with the images of this checkout."""
    if reason := programs.unfit():
        pytest.skip(reason)
    archives = images.write_all(tmp_path_factory.mktemp("images"), print)
    with Node.running(tmp_path_factory.mktemp("node"), archives, print) as node:
        yield node


@pytest.fixture(scope="session")
def prepared(node: Node) -> Release:
    """All that an installation needs, and no release yet."""
    helm = go_tool(ROOT, "helm", "helm.sh/helm/v4/cmd/helm")
    release = Release(node, helm, ROOT / "charts" / "parkade", Path(__file__).with_name("values.yaml"))
    release.prepare()
    return release


@pytest.fixture
def release(prepared: Release) -> Release:
    """The chart installed, as values.yaml has it, and every pod Ready."""
    if prepared.status() != "deployed":
        prepared.install()
    prepared.node.await_that("every pod is Ready", prepared.all_ready)
    return prepared


@pytest.fixture(scope="session")
def triton(prepared: Release) -> Iterator[Mapping[str, str]]:
    """A Triton server and a model for it; what the manifests leave open."""
    path = fetch(print)[serving.WORKLOAD]
    digest = next(model.sha256 for model in MODELS if model.name == serving.WORKLOAD)
    with serving.model_source(prepared.node, path) as url:
        yield {**serving.start_triton(prepared.node), "MODEL_URL": url, "MODEL_SHA256": digest}


@pytest.fixture(scope="session")
def questions() -> Sequence[Sample]:
    """A spoken sentence in windows, with the model's answers."""
    return samples(fetch(print), print)[serving.WORKLOAD]


@pytest.fixture
def load(release: Release, triton: Mapping[str, str], questions: Sequence[Sample]) -> Load:
    """Callers of a workload that is Ready."""
    serving.apply(release, Path(__file__).with_name("triton.yaml"), dict(triton))
    return serving.load(release, questions)
