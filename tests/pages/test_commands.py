"""Every command that a page prints exists, with every flag: of ours by asking the programs themselves."""

import re
import subprocess
from pathlib import Path

import click
import pytest

from pages.reading import ROOT, Block, Command, blocks, commands, synopses
from parkade.cli import parkade
from parkade.kubectl.command import parkade as plugin
from parkade.local import binaries

UPSTREAM = {
    "base64", "cat", "cd", "cp", "curl", "df", "docker", "export", "grep", "head", "helm", "jq", "kind", "kubectl",
    "make", "openssl", "sha256sum",
}  # fmt: skip
"""Programs that every machine has, or the page says that you need."""
OURS = {"parkade", "parkade-router", "carlet", "python"}


@pytest.mark.parametrize("block", blocks("sh"), ids=lambda block: block.page)
def test_a_block_of_shell_is_shell(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_page_prints_a_program_that_nobody_has() -> None:
    assert {command.program for command in commands()} - UPSTREAM - OURS == set()


@pytest.mark.parametrize("command", [*commands("parkade"), *synopses("parkade")], ids=str)
def test_parkade_takes_the_command(command: Command) -> None:
    taken(parkade, command, list(command.words[1:]))


@pytest.mark.parametrize("command", [it for it in commands("kubectl") if it.words[1:2] == ("parkade",)], ids=str)
def test_the_plugin_takes_the_command(command: Command) -> None:
    taken(plugin, command, list(command.words[2:]))


def taken(here: click.Command, command: Command, words: list[str]) -> None:
    """The words name a command and flags that it has."""
    context = click.Context(here)
    while isinstance(here, click.Group) and words and not words[0].startswith("-"):
        found = here.get_command(context, words.pop(0))
        assert found is not None, command
        here = found
    if here.context_settings.get("ignore_unknown_options"):
        return  # they are carlet's, see PASSED_ON
    known = {flag for parameter in here.params for flag in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    flags = {word.strip("[]").partition("=")[0] for word in words if re.match(r"\[?--?[a-zA-Z]", word)}
    assert flags - known == set()


@pytest.mark.parametrize("command", commands("make"), ids=str)
def test_make_has_the_target(command: Command) -> None:
    targets = re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [word for word in command.words[1:] if "=" not in word and word not in targets] == []


PASSED_ON = [
    Command(command.page, ("carlet", *command.words[2:]))
    for command in commands("parkade")
    if command.words[1:3] == ("fleet", "drive")
]


def asked(program: Path, *words: str) -> str:
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def carlet() -> Path:
    return binaries.carlet(print)


@pytest.mark.slow
@pytest.mark.parametrize("command", [*commands("carlet"), *synopses("carlet"), *PASSED_ON], ids=str)
def test_carlet_takes_the_command(command: Command, carlet: Path) -> None:
    verbs = [word for word in command.words[1:3] if re.fullmatch("[a-z]+", word)]
    told = asked(carlet, *verbs, "--help")
    assert "unknown" not in told.lower() or verbs == ["fleet"], told
    flags = {word.partition("=")[0].lstrip("-") for word in command.words if re.match(r"--?[a-z]", word)}
    known = set(re.findall(r"^  --?([a-z-]+)", told, re.MULTILINE)) | {"help"}
    assert flags - known == set()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_router_takes_the_flags_of_every_page() -> None:
    router = binaries.router(print)
    known = set(re.findall(r"--[a-z-]+", asked(router, "--help")))
    printed = {
        word.partition("=")[0]
        for command in [*commands("parkade-router"), *synopses("parkade-router")]
        for word in command.words
        if word.startswith("--")
    }
    page = (ROOT / "docs" / "router.md").read_text()
    printed |= set(re.findall(r"`(--[a-z-]+)", page)) - {"--set", "--release", "--fuzz-dir"}
    assert len(printed) > 20
    assert printed - known == set()
