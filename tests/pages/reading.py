"""What pages print: blocks with their language, and commands in blocks and in sentences."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
SPOKEN = re.compile(r"`((?:parkade|parkade-router|carlet|kubectl|helm|make) [^`]+)`")
ENVIRONMENT = re.compile(r"^[A-Z_]+=")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: str
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """One simple command as a page prints it."""

    page: str
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        return self.words[0].rpartition("/")[2]

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def blocks(*languages: str) -> list[Block]:
    """Blocks of these languages, of all without any."""
    return [
        Block(str(page.relative_to(ROOT)), found[2], found[3])
        for page in PAGES
        for found in FENCE.finditer(page.read_text())
        if not languages or found[2] in languages
    ]


def commands(*programs: str) -> list[Command]:
    """Every command of these programs, in blocks of shell and in sentences; each once a page."""
    found = [it for block in blocks("sh") for it in simple(block.page, block.text.replace("\\\n", " "))]
    for page in PAGES:
        prose = FENCE.sub("", page.read_text())
        found += [
            it
            for spoken in SPOKEN.findall(prose)
            for it in simple(str(page.relative_to(ROOT)), spoken.replace("\\|", "|"))
        ]
    return list(dict.fromkeys(command for command in found if not programs or command.program in programs))


def synopses(program: str) -> list[Command]:
    """Lines of unnamed blocks that show all flags of a command, without their brackets."""
    lines = [(block.page, line) for block in blocks("") for line in block.text.splitlines()]
    return [
        Command(page, tuple(re.sub(r"[\[\]()|]", " ", line).split()))
        for page, line in lines
        if line.startswith(program + " ")
    ]


def simple(page: str, script: str) -> Iterator[Command]:
    """The simple commands of a script, without redirections, assignments and comments."""
    for line in script.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&()<>")
        lexer.commenters, lexer.whitespace_split = "#", True
        for words in _parted(list(lexer)):
            bare = [word for word in words if not ENVIRONMENT.match(word)] if words else []
            if bare:
                yield Command(page, tuple(bare))


def _parted(words: Sequence[str]) -> Iterator[list[str]]:
    """Cut at `|`, `&&`, `;` and parentheses; a file that a command is redirected to is dropped."""
    here: list[str] = []
    redirected = False
    for word in words:
        if word and set(word) <= set("<>"):
            redirected = True
        elif redirected:
            redirected = False
        elif word and set(word) <= set(";|&()"):
            yield here
            here = []
        elif word != "$":
            here.append(word)
    yield here
