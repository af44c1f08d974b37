"""`parkade fleet drive`: `carlet drive` on the plane that `parkade up` started."""

import os
from pathlib import Path

import click

from parkade.errors import LocalPlaneError
from parkade.local import binaries
from parkade.local.command import directory_option
from parkade.local.plane import MARK, Plane


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@directory_option
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def drive(directory: Path, flags: tuple[str, ...]) -> None:
    """Play thousands of vehicles that speak the protocol of the agent; `--help` lists the flags of `carlet drive`."""
    program = binaries.carlet(say=lambda line: click.echo(line, err=True))
    command = [str(program), "drive", *flags]
    if not {"-h", "-help", "--help"} & set(flags):
        if not (directory / MARK).exists():
            raise LocalPlaneError(f"{directory} is no plane; start one with `parkade up` or name it with --dir")
        plane = Plane(directory)
        command += ["--dir", str(plane.fleet), "--nats", plane.nats_url, "--ca", str(plane.authority.certificate)]
    os.execv(program, command)  # noqa: S606 -- our own program, with the terminal and the signals of this one
