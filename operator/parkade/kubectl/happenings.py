"""`kubectl parkade events`: what happened to Parkade's objects, oldest first."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from parkade.cluster.surveying import EventFace, Survey
from parkade.kubectl.problems import WORDS
from parkade.kubectl.screen import Screen
from parkade.kubectl.words import age


@dataclass(frozen=True, slots=True)
class Happenings:
    """Events of a time, oldest first."""

    at: datetime
    events: tuple[EventFace, ...]
    not_shown: tuple[str, ...]


def happenings_of(
    survey: Survey, about: str = "", since: timedelta | None = None, *, warnings: bool = False
) -> Happenings:
    """The events that are asked for.

    Args:
        survey: with its events.
        about: `name` or `namespace/name` of an object of any kind; empty: all.
        since: how long ago at most; None: as long as the API server keeps them.
        warnings: only those.
    """
    found = tuple(
        event
        for event in survey.events
        if (not about or about in (event.name, f"{event.namespace}/{event.name}"))
        and (since is None or survey.now - event.at <= since)
        and (not warnings or event.level == "Warning")
    )
    return Happenings(survey.now, found, tuple(f"{it.part}: {it.why}" for it in survey.withheld))


def render(happenings: Happenings, screen: Screen) -> str:
    """An event a paragraph: age, object, reason, and the sentence below one another."""
    lines = [line for event in happenings.events for line in event_lines(screen, event, happenings.at)]
    lines += [f"Not shown: {row}" for row in happenings.not_shown]
    return "\n".join(lines or ["nothing happened that the API server still knows"]) + "\n"


def event_lines(screen: Screen, event: EventFace, now: datetime) -> list[str]:
    """One event, wrapped behind its age."""
    name = f"{event.namespace}/{event.name}" if event.namespace else event.name
    times = f" (x{event.count})" if event.count > 1 else ""
    said = f"{WORDS.get(event.kind, event.kind)} {name}: {event.reason}{times}: {event.message}"
    lines = screen.wrapped(said, " " * 7, f"{age(now, event.at):>5}  ")
    if event.level == "Warning":
        lines[0] = screen.paint(lines[0], "yellow")
    return lines
