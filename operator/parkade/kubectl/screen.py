"""Lines of text as wide as a terminal, with or without colour; a command is never broken, so that it can be copied."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from parkade.kubectl.problems import Level, Problem
from parkade.kubectl.words import listed, printable

Colour = Literal["red", "yellow", "green", "cyan", "bold", "dim"]
_CODES: Final[dict[Colour, str]] = {"red": "31;1", "yellow": "33", "green": "32", "cyan": "36", "bold": "1", "dim": "2"}
LEVELS: Final[dict[Level, Colour]] = {Level.CRITICAL: "red", Level.WARNING: "yellow", Level.NOTICE: "cyan"}
NARROWEST: Final = 40
_LEAST: Final = 14
"""Characters of a cell that is cut."""
_GUTTER: Final = "          "
"""As wide as the longest level and two spaces."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Where text is shown."""

    width: int = 100
    colours: bool = False
    flags: str = ""
    """What a command must be given to reach the same cluster, such as ` --context staging`."""
    own_flags: str = ""
    """What `kubectl parkade` must be given besides, such as ` --system-namespace other`."""

    def paint(self, text: str, colour: Colour) -> str:
        """Coloured where colours are shown."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.colours and text else text

    def wrapped(self, text: str, indent: str, first: str = "") -> list[str]:
        """Text in as many lines as it needs, below one another after the first's beginning."""
        return textwrap.wrap(
            printable(text),
            width=max(NARROWEST, self.width),
            initial_indent=first or indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def command(self, text: str) -> str:
        """A command to type, which goes to the same cluster."""
        own = self.own_flags if text.startswith("kubectl parkade ") else ""
        return self.paint(f"$ {text}{self.flags}{own}", "bold")

    def clipped(self, text: str, most: int) -> str:
        """At most so many characters; a name that is longer shows its beginning and its end."""
        text = printable(text)
        if len(text) <= most:
            return text
        tail = max(1, most // 3)
        return f"{text[: max(0, most - tail - 2)]}..{text[-tail:]}"


def problem_lines(screen: Screen, problem: Problem) -> Iterator[str]:
    """Level and what is wrong, the cause, the next command."""
    who = " ".join(word for word in (problem.kind, printable(problem.name)) if word)
    if problem.others:
        who = f"{len(problem.others) + 1} {problem.kind}s ({listed([problem.name, *problem.others])}): each"
    head = screen.wrapped(f"{who} {problem.says}", _GUTTER)
    head[0] = screen.paint(problem.level.upper().ljust(len(_GUTTER)), LEVELS[problem.level]) + head[0][len(_GUTTER) :]
    yield from head
    if problem.message or problem.reason:
        such = f"{problem.name}: " if problem.others else ""
        yield from screen.wrapped(such + ": ".join(it for it in (problem.reason, problem.message) if it), _GUTTER)
    if problem.next:
        yield _GUTTER + screen.command(problem.next)


def table(
    screen: Screen,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[int] = (),
    dropped: Sequence[int] = (),
    *,
    last_yields: bool = False,
) -> list[str]:
    """Columns as wide as their widest cell; where that is too wide, the longest column gives way.

    Args:
        screen: where it is shown.
        header: names of the columns.
        rows: a cell for each column.
        right: columns that are flush right.
        dropped: columns that are left out, in this order, while names would have to be cut.
        last_yields: the last column is cut before any other.
    """
    gone = _gone(screen, [header, *rows], dropped, _LEAST if last_yields else 0)
    kept = [i for i in range(len(header)) if i not in gone]
    header, rows = [header[i] for i in kept], [[row[i] for i in kept] for row in rows]
    right = [place for place, i in enumerate(kept) if i in right]
    cells = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    while sum(widths) + 2 * (len(widths) - 1) > screen.width and max(widths) > _LEAST:
        widths[-1 if last_yields and widths[-1] > _LEAST else widths.index(max(widths))] -= 1
    lines = []
    for row in cells:
        shown = [screen.clipped(cell, width) for cell, width in zip(row, widths, strict=True)]
        padded = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(shown, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return [screen.paint(lines[0], "dim"), *lines[1:]]


def _gone(screen: Screen, cells: Sequence[Sequence[str]], dropped: Sequence[int], last: int) -> set[int]:
    """The columns to leave out so that the others fit as they are, the last one cut to `last` characters."""
    widths = [max(len(printable(row[i])) for row in cells) for i in range(len(cells[0]))]
    widths[-1] = min(widths[-1], last or widths[-1])
    gone: set[int] = set()
    for column in dropped:
        if sum(width + 2 for i, width in enumerate(widths) if i not in gone) - 2 <= screen.width:
            break
        gone.add(column)
    return gone
