"""A command of subcommands that are imported on use, so that help and completion stay instant."""

import importlib
import sys
from collections.abc import Mapping
from typing import Any

import click

from parkade.errors import InvalidInput, ParkadeError

Table = Mapping[str, tuple[str, str]]
"""Name: `module:attribute` of the command, and its line in the help."""


class LazyGroup(click.Group):
    """Imports a subcommand's module only when it is called."""

    def __init__(self, *args: Any, table: Table, **more: Any) -> None:  # noqa: ANN401 -- click's own
        super().__init__(*args, **more)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        del ctx
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and return it, or None for an unknown name."""
        del ctx
        if cmd_name not in self.table:
            return None
        target, _summary = self.table[cmd_name]
        module, _, name = target.partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 -- a wrong table entry is our own defect
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by the table, without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_target, summary) in self.table.items()])


def run(command: click.Command, who: str, prog_name: str | None = None) -> None:
    """Run a command line; an error of ours is one sentence on standard error after `who`, never a traceback."""
    try:
        command(prog_name=prog_name)
    except ParkadeError as error:
        click.echo(f"{who}: {error}", err=True)
        sys.exit(2 if isinstance(error, InvalidInput) else 1)
