"""Draws dashboards from what a Prometheus answers: `python -m dashboards.picture URL FOLDER [SECONDS]`.

It shows the panels where Grafana puts them, with their titles, units and lines. It is not Grafana and does not look like it.
"""

import json
import math
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from PIL import Image, ImageDraw, ImageFont

from dashboards.all_boards import BOARDS, FOLDER
from dashboards.queries import asked, panels

COLUMN: Final = 54
ROW: Final = 27
FINE: Final = 2
"""Drawn so many times larger and then made smaller, so that lines are smooth."""
SHOWN_SECONDS: Final = 300
STEPS: Final = 120
INTERVAL: Final = "30s"
INK, FAINT, GRID, PAPER, CARD = "#1f2328", "#6a737d", "#e4e7eb", "#f4f5f7", "#ffffff"
COLOURS: Final = ("#3274d9", "#e0752d", "#299c46", "#a352cc", "#c4162a", "#0aa5b8", "#b8860b", "#5d6d7e")
SUFFIX: Final = {
    "reqps": "/s",
    "cps": "/s",
    "watt": " W",
    "kwatth": " kWh",
    "joule": " J",
    "massg": " g",
    "Bps": " B/s",
    "bytes": " B",
}
_LINES_SHOWN: Final = 8
_DAYS: Final = 2 * 86400.0
"""From so many seconds on, days are shown."""

Span = tuple[float, float]
"""Begin and end, seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a panel."""

    name: str
    points: tuple[tuple[float, float], ...]
    """(seconds since the epoch, value), finite."""


def main() -> None:
    """Draw every dashboard into a folder."""
    draw_all(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else SHOWN_SECONDS)


def draw_all(url: str, folder: Path, seconds: int) -> None:
    """Draw the last `seconds` of every dashboard, as the Prometheus at `url` tells them."""
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        for board in BOARDS:
            file = FOLDER / f"{board.name}.json"
            draw(client, file, seconds).save(folder / f"{board.name}.png", optimize=True)


def draw(client: httpx.Client, file: Path, seconds: int) -> Image.Image:
    """One dashboard over the last `seconds`."""
    board: dict[str, Any] = json.loads(file.read_text())
    end = time.time()
    shown_time = (end - seconds, end)
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    image = Image.new("RGB", (24 * COLUMN * FINE, (height + 2) * ROW * FINE), PAPER)
    pen = ImageDraw.Draw(image)
    _text(pen, (8, 12), board["title"], 20, INK)
    _text(pen, (18 * COLUMN, 18), f"the last {seconds // 60} min {seconds % 60} s; not drawn by Grafana", 11, FAINT)
    for panel in board["panels"]:
        if panel["type"] == "row":
            _text(pen, (8, (panel["gridPos"]["y"] + 2) * ROW + 6), panel["title"], 14, FAINT)
    for panel in panels(file):
        _panel(pen, panel, _read(client, panel, shown_time), shown_time)
    small = image.resize((image.width // FINE, image.height // FINE), Image.Resampling.LANCZOS)
    return small.quantize(256)


def _read(client: httpx.Client, panel: dict[str, Any], time_shown: Span) -> list[Line]:
    lines: list[Line] = []
    start, end = time_shown
    for query in asked(panel, seconds=round(end - start), interval=INTERVAL):
        window = {"start": start, "end": end, "step": (end - start) / STEPS}
        answer = client.get("/api/v1/query_range", params={"query": query.expr, **window})
        for series in answer.raise_for_status().json()["data"]["result"]:
            labels = series["metric"]
            name = re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), query.legend)  # noqa: B023 -- at once
            points = ((float(at), float(value)) for at, value in series["values"])
            lines.append(Line(name.strip(), tuple(point for point in points if math.isfinite(point[1]))))
    return lines


def _panel(pen: ImageDraw.ImageDraw, panel: dict[str, Any], lines: list[Line], time_shown: Span) -> None:
    place, unit = panel["gridPos"], panel["fieldConfig"]["defaults"]["unit"]
    left, top = place["x"] * COLUMN + 4, (place["y"] + 2) * ROW + 3
    right, bottom = left + place["w"] * COLUMN - 8, top + place["h"] * ROW - 6
    pen.rounded_rectangle(_fine((left, top, right, bottom)), 8, fill=CARD, outline=GRID)
    _text(pen, (left + 8, top + 6), panel["title"], 13, INK)
    if panel["type"] == "stat":
        value = lines[0].points[-1][1] if lines and lines[0].points else math.nan
        _text(pen, (left + 8, top + 40), shown(value, unit), 34, COLOURS[0])
        return
    if not any(line.points for line in lines):
        _text(pen, (left + 8, top + 60), "no data", 13, FAINT)
        return
    stacked = panel["fieldConfig"]["defaults"].get("custom", {}).get("stacking", {}).get("mode") == "normal"
    _lines(pen, lines, (left + 70, top + 30, right - 10, bottom - 24), time_shown, unit, stacked=stacked)
    _legend(pen, lines, left + 10, bottom - 18, right)


def _lines(
    pen: ImageDraw.ImageDraw,
    lines: list[Line],
    box: tuple[int, int, int, int],
    time_shown: Span,
    unit: str,
    *,
    stacked: bool,
) -> None:
    left, top, right, bottom = box
    start, end = time_shown
    drawn = _piled(lines) if stacked else lines
    values = [value for line in drawn for _, value in line.points]
    scale = 86400.0 if unit == "s" and max(values) >= _DAYS else 1.0
    low, high = (scale * end for end in axis(min(values) / scale, max(values) / scale))

    def at(point: tuple[float, float]) -> tuple[float, float]:
        across = (point[0] - start) / (end - start)
        return (left + across * (right - left)) * FINE, (
            bottom - (point[1] - low) / (high - low) * (bottom - top)
        ) * FINE

    for quarter in range(5):
        value = low + (high - low) * quarter / 4
        y = at((end, value))[1]
        pen.line((left * FINE, y, right * FINE, y), fill=GRID, width=FINE)
        _text(pen, (left - 64, y / FINE - 7), shown(value, unit), 11, FAINT)
    for index, line in reversed(list(enumerate(drawn))):
        colour, points = COLOURS[index % len(COLOURS)], [at(point) for point in line.points]
        if stacked and len(points) > 1:
            foot = at((end, low))[1]
            pen.polygon([(points[0][0], foot), *points, (points[-1][0], foot)], fill=_pale(colour))
        if len(points) > 1:
            pen.line(points, fill=colour, width=2 * FINE, joint="curve")


def axis(least: float, most: float) -> Span:
    """Ends of an axis with zero and all values between them; a quarter of it is a round number."""
    span = max(most, 0.0) - min(least, 0.0)
    if span == 0:
        return 0.0, 1.0
    size = 10.0 ** math.floor(math.log10(span / 4))
    for step in (size * factor for factor in (1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 10, 20)):
        low = math.floor(min(least, 0.0) / step + 1e-9) * step
        if low + 4 * step >= most * (1 - 1e-9):
            return low, low + 4 * step
    return min(least, 0.0), max(most, 0.0)


def _piled(lines: list[Line]) -> list[Line]:
    below: dict[float, float] = {}
    piled = []
    for line in lines:
        for moment, value in line.points:
            below[moment] = below.get(moment, 0.0) + value
        piled.append(Line(line.name, tuple((moment, below[moment]) for moment, _ in line.points)))
    return piled


def _legend(pen: ImageDraw.ImageDraw, lines: Iterable[Line], left: float, top: float, right: float) -> None:
    named = [line.name for line in lines]
    for index, name in enumerate(named[:_LINES_SHOWN]):
        width = 22 + pen.textlength(name, font=_font(11)) / FINE
        if left + width > right - 40:
            _text(pen, (left, top), f"and {len(named) - index} more", 11, FAINT)
            return
        pen.rectangle(_fine((left, top + 5, left + 10, top + 8)), fill=COLOURS[index % len(COLOURS)])
        _text(pen, (left + 14, top), name, 11, FAINT)
        left += width


def shown(value: float, unit: str) -> str:
    """A value with its unit, short enough for an axis."""
    if math.isnan(value):
        return "no data"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return _seconds(value)
    if unit == "currencyUSD":
        return f"${value:.3g}"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            suffix = SUFFIX.get(unit, "")
            return (
                f"{value / size:.3g} {letter}{suffix[1:]}"
                if suffix[:1] == " "
                else f"{value / size:.3g}{letter}{suffix}"
            )
    return f"{value:.3g}{SUFFIX.get(unit, '')}"


def _seconds(value: float) -> str:
    if abs(value) >= _DAYS:
        return f"{value / 86400:.0f} days"
    return f"{value:.3g} s" if abs(value) >= 1 or value == 0 else f"{1000 * value:.3g} ms"


def _pale(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return (red + 2 * 255) // 3, (green + 2 * 255) // 3, (blue + 2 * 255) // 3


def _fine(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    return left * FINE, top * FINE, right * FINE, bottom * FINE


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * FINE)


def _text(pen: ImageDraw.ImageDraw, where: tuple[float, float], text: str, size: int, colour: str) -> None:
    pen.text((where[0] * FINE, where[1] * FINE), text, font=_font(size), fill=colour)


if __name__ == "__main__":
    main()
