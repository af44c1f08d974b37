"""Commands that look again and again: `top`, and `events --watch`."""

import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

import click

from parkade.errors import ClusterUnavailable, InvalidInput
from parkade.kubectl import happenings
from parkade.kubectl import top as workloads
from parkade.kubectl.completing import workload_name
from parkade.kubectl.connecting import Connection, connected
from parkade.kubectl.screen import Screen
from parkade.units import seconds

_SOONEST: Final = 1.0
"""Seconds between two looks at least: a person reads no faster, and the API server has other callers."""
_HOME_AND_CLEAR: Final = "\x1b[H\x1b[J"


def _span(name: str, text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise InvalidInput(f"{name}: {error}") from None


def _moments(every: float, times: int) -> Iterator[int]:
    """Numbers of looks, `every` seconds apart; without end for 0 times. Ctrl-C ends them quietly."""
    number = 0
    try:
        while not times or number < times:
            if number:
                time.sleep(every)
            yield number
            number += 1
    except KeyboardInterrupt:
        return


@click.command()
@connected
@click.option("--sort", type=click.Choice(list(workloads.ORDERS)), default="state", show_default=True)
@click.option("--every", default="5s", show_default=True, help="Look again after this long, at least 1s.")
@click.option(
    "--times", type=click.IntRange(min=0), help="How often to look; 0: until Ctrl-C. Default: 1 off a terminal."
)
def top(connection: Connection, sort: str, every: str, times: int | None) -> None:
    """Show workloads as they run: state, rates, latency, replicas, cost and places; those in trouble first.

    On a terminal it stays and looks again; anywhere else, or with -o json, it shows one table unless --times is given.
    """
    pause = max(_SOONEST, _span("--every", every))
    live = sys.stdout.isatty() and connection.output == "text"
    looks = times if times is not None else 0 if live else 1
    look = _patient(lambda: workloads.top_of(connection.survey(("inferenceworkloads",), ("inferenceworkloads",)), sort))
    for _ in _moments(pause, looks):
        found = look()
        if live and looks != 1:
            click.echo(_HOME_AND_CLEAR, nl=False)
        height = connection.height if live and looks != 1 else 0
        connection.show("Top", found, lambda screen: workloads.render(found, screen, height))  # noqa: B023 -- called at once


def _patient(look: Callable[[], workloads.Top]) -> Callable[[], workloads.Top]:
    """After a first answer, an API server that is away is told of, and what was seen last stays."""
    last: list[workloads.Top] = []

    def again() -> workloads.Top:
        try:
            last[:] = [look()]
        except ClusterUnavailable as error:
            if not last:
                raise
            click.echo(f"seen last at {last[0].at:%H:%M:%S} UTC: {error}", err=True)
        return last[0]

    return again


@click.command()
@connected
@click.argument("about", default="", metavar="[NAME]", shell_complete=workload_name)
@click.option("--since", default="", help="Of this long ago at most, such as 30m.")
@click.option("--warnings", is_flag=True, help="Only warnings.")
@click.option("-w", "--watch", "watched", is_flag=True, help="Go on with new ones until Ctrl-C.")
def events(connection: Connection, about: str, since: str, *, warnings: bool, watched: bool) -> None:
    """Show what happened lately to workloads, pools, cells and regions, oldest first; NAME: to that object."""
    span = timedelta(seconds=_span("--since", since)) if since else None
    shown: set[object] = set()

    def look() -> happenings.Happenings:
        return happenings.happenings_of(connection.survey(("events",), ("events",)), about, span, warnings=warnings)

    for number in _moments(2.0, 0 if watched else 1):
        found = look()
        new = tuple(event for event in found.events if event not in shown)
        shown.update(new)
        if new or not number:
            fresh = happenings.Happenings(found.at, new, found.not_shown)
            connection.show("Events", fresh, _rendered(fresh))


def _rendered(found: happenings.Happenings) -> Callable[[Screen], str]:
    return lambda screen: happenings.render(found, screen)
