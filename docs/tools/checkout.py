"""A hook of mkdocs: links of pages into the rest of the checkout lead to copies in the site, under `project/`.

So a page may link to a source file or to the changelog as it does in the checkout, and the site needs no address of a
repository. Pages are written as GitHub reads them; where mkdocs wants an empty line before a list, it is put in.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).resolve().parents[2]
COPIES: Final = "project"
PAGES: Final = ("CHANGELOG.md", "CONTRIBUTING.md")
"""Pages of the checkout's root that are pages of the site."""
LINK: Final = re.compile(r"(\[[^\]]*\])\(([^)#:\s]+)(#[^)\s]*)?\)")
"""Label in brackets, path, anchor."""
ITEM: Final = re.compile(r"(-|\*|\d+\.) ")


def on_files(files: Files, *, config: Any) -> Files:  # noqa: ANN401 -- mkdocs' own types of configuration are dynamic
    """Add what pages link to outside of docs/, and the pages of the root."""
    outside = set(PAGES)
    for page in [*files.documentation_pages()]:
        outside |= set(_outside(page.content_string, PurePosixPath("docs", page.src_uri)))
    for name in PAGES:
        outside |= set(_outside((ROOT / name).read_text(encoding="utf-8"), PurePosixPath(name)))
    for name in sorted(outside):
        if (ROOT / name).is_file():
            files.append(File.generated(config, f"{COPIES}/{name}", abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:  # noqa: ANN401 -- as above
    """Lead links into the checkout to the copies, and part lists from the paragraph before them."""
    uri = PurePosixPath(page.file.src_uri)
    copied = uri.parts[0] == COPIES
    here = uri.relative_to(COPIES) if copied else PurePosixPath("docs") / uri

    def led(found: re.Match[str]) -> str:
        label, target = found[1], _resolved(here, found[2])
        if target is None:
            return found[0]
        inside = target.parts[0] == "docs"
        if (ROOT / target).is_dir():
            if not inside:
                return label[1:-1]  # a folder has no page
            target /= "README.md"
        place = target.relative_to("docs") if inside else PurePosixPath(COPIES) / target
        return f"{label}({os.path.relpath(place, uri.parent)}{found[3] or ''})"

    return "\n".join(_parted(LINK.sub(led, markdown).splitlines()))


def _outside(text: str, here: PurePosixPath) -> Iterator[str]:
    for found in LINK.finditer(text):
        target = _resolved(here, found[2])
        if target is not None and target.parts[0] != "docs":
            yield str(target)


def _resolved(here: PurePosixPath, link: str) -> PurePosixPath | None:
    """The path in the checkout that a link of a page leads to; None if it leads out of it."""
    path = PurePosixPath(os.path.normpath(here.parent / link))
    return path if path.parts and path.parts[0] not in ("..", "/") else None


def _parted(lines: list[str]) -> Iterator[str]:
    before, fenced = "", False
    for line in lines:
        fenced ^= line.startswith("```")
        if not fenced and ITEM.match(line) and before.strip() and not ITEM.match(before) and not before.startswith(" "):
            yield ""
        yield line
        before = line
