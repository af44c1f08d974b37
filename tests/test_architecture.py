"""The shape of the house, where no linter looks."""

import re


def test_operator_is_only_a_source_root(repository_root):
    # an __init__.py there would shadow the standard library's module `operator`
    assert not (repository_root / "operator" / "__init__.py").exists()


def test_every_room_says_why_it_exists(repository_root):
    rooms = sorted((repository_root / "operator" / "parkade").glob("*/__init__.py"))
    assert len(rooms) > 10
    assert [str(room) for room in rooms if not room.read_text().lstrip().startswith('"""')] == []


def test_the_architecture_page_names_every_room(repository_root):
    page = (repository_root / "docs" / "architecture.md").read_text()
    table = page.split("## Rooms of the Python package")[1].split("\n## ")[0]
    rooms = {room.parent.name for room in (repository_root / "operator" / "parkade").glob("*/__init__.py")}
    assert rooms <= set(re.findall(r"`([a-z]+)`", table))


def test_python_files_hold_one_concept_each(repository_root):
    files = (repository_root / "operator" / "parkade").rglob("*.py")
    assert [str(file) for file in files if len(file.read_text().splitlines()) > 400] == []
