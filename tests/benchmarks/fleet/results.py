"""The figures so far, on disk after every part: one that fails costs none of those before it."""

import json
from pathlib import Path

import click

from benchmarks import machine
from benchmarks.router.table import Section, as_json, as_markdown


class Results:
    """Sections in the order in which they were measured, as JSON and, beside it, as tables."""

    def __init__(self, output: Path | None) -> None:
        self.output = output
        self.sections: list[Section] = []
        self.failures: dict[str, str] = {}
        """What went wrong, by part."""
        self.about = machine.describe()

    def add(self, section: Section) -> None:
        """Take in one part."""
        self.sections.append(section)
        click.echo(as_markdown(section) + "\n")
        self._write()

    def fail(self, part: str, error: Exception) -> None:
        """Take in that one part could not be measured."""
        self.failures[part] = f"{type(error).__name__}: {error}"
        click.echo(f"{part} could not be measured: {self.failures[part]}\n", err=True)
        self._write()

    def tables(self) -> str:
        """All tables, with the machine on which they were measured."""
        title = f"Measured on {machine.hardware(self.about)}."
        return "\n\n".join([title, *map(as_markdown, self.sections)])

    def _write(self) -> None:
        if self.output is None:
            return
        found: dict[str, object] = {"machine": self.about, "sections": [as_json(each) for each in self.sections]}
        if self.failures:
            found["failures"] = self.failures
        self.output.write_text(json.dumps(found, indent=1))
        self.output.with_suffix(".md").write_text(self.tables() + "\n")
