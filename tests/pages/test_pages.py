"""Pages are true: manifests are valid, links lead somewhere, what is generated is that of the code."""

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from pages.reading import PAGES, ROOT, Block, blocks
from parkade.api import KINDS, parse
from parkade.api.reasons import Reason
from parkade.api.schema import Json, object_schema

LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)]*)?\)")
METRIC = re.compile(r"(?<![\w:.])parkade_\w+")
RECORDED = re.compile(r"\w+:parkade_\w+:\w+")


def tool(name: str) -> ModuleType:
    """A module of docs/tools, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.page)
def test_a_manifest_is_valid(block: Block) -> None:
    for document in yaml.safe_load_all(block.text):
        if isinstance(document, dict) and str(document.get("apiVersion", "")).startswith("parkade.dev/"):
            assert parse(document).key


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.page)
def test_a_program_is_python(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert [target for target, _ in LINK.findall(page.read_text()) if not (page.parent / target).exists()] == []


def test_the_pictures_are_those_of_the_text() -> None:
    pictures = tool("pictures")
    for name, picture in pictures.PICTURES.items():
        assert (pictures.FOLDER / f"{name}.svg").read_text() == pictures.svg(picture), f"run `make pages`: {name}"


def test_the_index_has_every_runbook_and_what_its_alert_says() -> None:
    runbooks = tool("runbooks")
    assert runbooks.INDEX.read_text() == runbooks.index(), "run `make pages`"
    linked = set(re.findall(r"\]\((Parkade\w+)\.md\)", runbooks.index()))
    assert linked == {page.stem for page in (ROOT / "docs" / "runbooks").glob("Parkade*.md")}


def test_queries_of_pages_ask_for_metrics_that_are_told() -> None:
    table = set(re.findall(r"^\| `(parkade_\w+)`", (ROOT / "docs" / "monitoring.md").read_text(), re.MULTILINE))
    rules = set(re.findall(r"record: (\S+)", (ROOT / "charts/parkade/rules/parkade.yaml").read_text()))
    queries = "\n".join(block.text for block in blocks("promql"))
    assert set(RECORDED.findall(queries)) <= rules
    asked = {name.removesuffix("_bucket") for name in METRIC.findall(RECORDED.sub("", queries))}
    assert asked
    assert asked - table == set()


def test_reasons_that_pages_name_are_reasons() -> None:
    page = (ROOT / "docs" / "howto" / "ml-engineer.md").read_text()
    rows = re.findall(r"^\| (?:Placed|Ready|SLOMet) False, (.*?) \|", page, re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"`(\w+)`", row)}
    assert len(named) > 8
    assert named - {str(reason) for reason in Reason} == set()


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.__name__)
def test_every_field_has_a_meaning(kind: type) -> None:
    def silent(schema: Json, path: str) -> list[str]:
        found = []
        for name, part in schema.get("properties", {}).items():
            here = f"{path}.{name}"
            found += [] if part.get("description") else [here]
            found += silent(part.get("items", part), here)
        return found

    schema = object_schema(kind)["properties"]
    assert [path for part in ("spec", "status") for path in silent(schema[part], part)] == []
