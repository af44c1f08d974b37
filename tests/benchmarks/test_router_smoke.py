"""The benchmark of the router runs, and loses no request on the way."""

import os
import resource
from pathlib import Path

import pytest

from benchmarks.router import leaving
from benchmarks.router.programs import allow_descriptors, build, require_descriptors
from benchmarks.router.table import Must, Section, as_markdown
from benchmarks.running import results_of
from parkade.errors import InvalidInput

# Real processes for most of a minute, and a build when cold.
smoke = [pytest.mark.slow, pytest.mark.timeout(600)]
SMOKED = "cost spans idle queue leave"
"""One after the other, as in the whole run: none may leave something behind that the next one stumbles over."""


@pytest.fixture(scope="module")
def programs(repository_root) -> Path:
    """Those beside `ROUTER_BIN`, or the newest build; the load is built beside the router if it is missing."""
    beside = Path(os.environ.get("ROUTER_BIN", "")).parent
    if (beside / "parkade-loadbench").exists():
        return beside
    kernels = repository_root / "kernels"
    target = Path(os.environ.get("CARGO_TARGET_DIR", kernels / "target"))
    built = [target / profile for profile in ("release", "debug") if (target / profile / "parkade-router").exists()]
    folder = max(built, key=lambda path: (path / "parkade-router").stat().st_mtime) if built else target / "debug"
    build(kernels, *(["--release"] if folder.name == "release" else []))
    return folder


@pytest.fixture(scope="module")
def sections(tmp_path_factory, programs, repository_root):
    file = tmp_path_factory.mktemp("bench") / "results.json"
    return results_of(repository_root, "router", "--quick", "--parts", SMOKED, "--bin", programs, file=file)["sections"]


class TestQuick:
    pytestmark = smoke

    def test_every_part_is_measured(self, sections):
        assert len(sections) == len(SMOKED.split())
        for section in sections:
            assert section["figures"], section["name"]

    def test_no_request_is_lost(self, sections):
        lost = {must["what"]: must["measured"] for section in sections for must in section["musts"]
                if "failures" in must["what"]}  # fmt: skip
        assert lost
        assert not any(lost.values()), lost

    def test_the_router_answers_in_every_protocol_and_size(self, sections):
        figures = sections[0]["figures"]
        for protocol in ("HTTP", "gRPC"):
            for size in ("16 B", "220 KB"):
                for through in ("router", "router to cars"):
                    assert figures[f"{protocol} {size} c=64 {through}"]["requests"] > 0


def test_a_requirement_says_by_how_much_it_was_missed():
    assert Must("rate", 1.4, 1.5, at_least=True).line == "| rate | 1.4 | at least 1.5 | missed by 0.1 |"
    assert Must("rate", 1.6, 1.5, at_least=True).holds
    assert not Must("p99", 1.6, 1.5).holds


def test_a_section_is_a_table_with_what_must_hold():
    section = Section("Cost", "About.", ("a", "b"), [("1", "2")], [Must("x", 1, 2)])
    assert as_markdown(section).splitlines()[4:7] == ["| a | b |", "|---|---|", "| 1 | 2 |"]
    assert as_markdown(section).endswith("\n| x | 1 | at most 2 | holds |")


def test_the_formula_adds_stalls_where_segments_are_lost_and_retries_where_cars_leave():
    calm = leaving.calm_p99(250.0, 400.0)
    assert calm == pytest.approx(2 * leaving.DELAY + leaving.INFERENCE, rel=0.02)
    assert leaving.calm_p99(3.0, 400.0) > 1.5 * calm
    assert 4.0 * leaving.STALL < leaving.lossy_p99(150.0, leaving.LARGE) < 6.0 * leaving.STALL


def test_a_part_takes_no_descriptors_away_from_the_next_one():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, limits[1]))
        assert allow_descriptors(1024) == 1024
        assert allow_descriptors(700) == 700
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 1024
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_part_that_finds_too_few_descriptors_says_so_at_once():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("the system lets a process open any number of files")
    with pytest.raises(InvalidInput, match="raise `ulimit -Hn`"):
        require_descriptors(hard + 1)
