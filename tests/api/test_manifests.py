"""Every row of the table, by the Python models and by a real API server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiClient, ApiException, CustomObjectsApi
from kubernetes.config import new_client_from_config

from api.manifest_table import BAD, GOOD, Case
from parkade.api import KINDS, check_update, load, parse
from parkade.errors import InvalidManifest
from parkade.local.plane import Plane

bad = pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
good = pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)


def judge_in_python(case: Case) -> None:
    first = parse(case.manifest)
    if case.then is not None:
        check_update(parse(case.then), first)


@good
def test_python_takes_a_good_manifest(case: Case) -> None:
    judge_in_python(case)


@bad
def test_python_refuses_with_field_and_remedy(case: Case) -> None:
    with pytest.raises(InvalidManifest) as refusal:
        judge_in_python(case)
    for fragment in case.says:
        assert fragment in str(refusal.value)


def test_the_table_has_a_bad_case_for_every_kind_and_one_sentence_each() -> None:
    assert len(BAD) >= 60
    assert {case.manifest["kind"] for case in BAD} == set(KINDS)
    assert all(case.says for case in BAD)
    assert not any(case.says for case in GOOD)
    names = [case.name for case in (*GOOD, *BAD)]
    assert len(names) == len(set(names))


Judge = Callable[[dict[str, Any], dict[str, Any] | None], dict[str, Any]]


@pytest.fixture(scope="module")
def server(plane: Plane) -> Judge:
    """Judge by the API server: create, and replace where there is a second version; returns what it stores."""
    client: ApiClient = new_client_from_config(str(plane.kubeconfig))
    objects = CustomObjectsApi(client)

    def judge(manifest: dict[str, Any], then: dict[str, Any] | None = None) -> dict[str, Any]:
        definition = KINDS[manifest["kind"]].definition
        place = {"group": "parkade.dev", "version": "v1alpha1", "plural": definition.plural}
        scope = "namespaced" if definition.namespaced else "cluster"
        if definition.namespaced:
            place["namespace"] = manifest["metadata"]["namespace"]
        create = getattr(objects, f"create_{scope}_custom_object")
        dry: dict[str, Any] = {"field_validation": "Strict", "dry_run": "All"}
        if then is None:
            return create(body=manifest, **place, **dry)
        name = manifest["metadata"]["name"]
        stored = create(body=manifest, **place, field_validation="Strict")
        try:
            stored["spec"] = then["spec"]
            return getattr(objects, f"replace_{scope}_custom_object")(body=stored, name=name, **place, **dry)
        finally:
            getattr(objects, f"delete_{scope}_custom_object")(name=name, **place)

    return judge


@pytest.mark.cluster
@good
def test_the_api_server_takes_a_good_manifest(case: Case, server: Judge) -> None:
    stored = server(case.manifest, case.then)
    assert parse(stored).spec == parse(case.then or case.manifest).spec, "both fill in the same defaults"


@pytest.mark.cluster
@bad
def test_the_api_server_refuses_with_field_and_remedy(case: Case, server: Judge) -> None:
    with pytest.raises(ApiException) as refusal:
        server(case.manifest, case.then)
    message = json.loads(refusal.value.body)["message"]
    assert "evaluating rule" not in message, "a rule fell over what another rule refuses"
    for fragment in case.says:
        assert fragment in message


EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_python_takes_the_example(path: Path) -> None:
    assert load(path)


@pytest.mark.cluster
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_api_server_takes_the_example(path: Path, server: Judge) -> None:
    for resource in load(path):
        manifest = resource.manifest()
        if resource.metadata.namespace:
            manifest["metadata"]["namespace"] = "default"
        assert parse(server(manifest, None)).spec == resource.spec
