"""`parkade crds`: writes what is generated from the models."""

from pathlib import Path
from typing import Final

import click

from parkade.api.reference import reference_files
from parkade.api.schema import crd_files
from parkade.errors import InvalidInput

FOLDERS: Final = (Path("crds"), Path("charts/parkade/files/crds"))
"""Relative to the checkout; the chart carries its own copy because Helm reads no folder beside it."""
REFERENCE: Final = Path("docs/reference")


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the CRDs to this folder only.")
@click.option("--check", is_flag=True, help="Write nothing; fail when a file differs from the models.")
def crds(output: Path | None, check: bool) -> None:  # noqa: FBT001 -- click passes flags by name
    """Write the CustomResourceDefinitions and their field reference.

    They go to crds/, charts/parkade/files/crds/ and docs/reference/; run it in the checkout's root.
    """
    folders = (output,) if output else FOLDERS
    files = {folder / name: text for folder in folders for name, text in crd_files().items()}
    if not output:
        files |= {REFERENCE / name: text for name, text in reference_files().items()}
    if check:
        stale = sorted(str(path) for path, text in files.items() if not path.exists() or path.read_text() != text)
        if stale:
            raise InvalidInput(f"{', '.join(stale)} differ from operator/parkade/api; run: parkade crds")
        return
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(path)
