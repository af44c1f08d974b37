"""Tables of a benchmark in a page that people write."""

from pathlib import Path

from parkade.errors import InvalidInput


def markers(name: str) -> tuple[str, str]:
    """The lines between which a page has the tables of `make <name>`."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def write(path: Path, text: str, name: str) -> None:
    """Put the tables of `make <name>` between their markers.

    Raises:
        InvalidInput: the page has no markers.
    """
    first, final = markers(name)
    before, begin, rest = path.read_text().partition(first)
    _, end, after = rest.partition(final)
    if not begin or not end:
        raise InvalidInput(f"{path} has no lines {first} and {final}; add them where the tables belong")
    path.write_text(f"{before}{first}\n\n{text}\n\n{final}{after}")
