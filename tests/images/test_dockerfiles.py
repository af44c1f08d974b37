"""The Dockerfiles of what is released; no container engine is needed to see what they would take and run."""

import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import pytest

FILES = ("operator", "carlet", "router")
DIGEST = re.compile(r"\S+:\S+@sha256:[0-9a-f]{64}")


def instructions(root: Path, name: str) -> list[tuple[str, str]]:
    lines = (root / "images" / f"{name}.Dockerfile").read_text().replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("name", FILES)
def test_every_base_is_named_by_its_digest(name: str, repository_root: Path) -> None:
    read = instructions(repository_root, name)
    arguments = dict(text.split("=", 1) for word, text in read if word == "ARG")
    stages: set[str] = set()
    for text in (text for word, text in read if word == "FROM"):
        base, _, stage = text.partition(" AS ")
        base = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], base)
        assert base in stages or DIGEST.fullmatch(base), base
        stages.add(stage)


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_is_there_and_not_ignored(name: str, repository_root: Path) -> None:
    ignored = [line.removeprefix("**/") for line in (repository_root / ".dockerignore").read_text().split()]
    for text in (text for word, text in instructions(repository_root, name) if word == "COPY" and "--from" not in text):
        for source in shlex.split(text)[:-1]:
            assert (repository_root / source).exists(), source
            assert not any(fnmatch(part, pattern) for part in Path(source).parts for pattern in ignored), source


@pytest.mark.parametrize("name", FILES)
def test_the_last_stage_builds_nothing_and_runs_as_nobody(name: str, repository_root: Path) -> None:
    read = instructions(repository_root, name)
    last = read[max(index for index, (word, _) in enumerate(read) if word == "FROM") :]
    assert last[0] == ("FROM", "${BASE}")
    assert "RUN" not in dict(last)
    assert dict(last)["USER"] == "65532:65532"
