"""Draws docs/pictures/*.svg from text: `python docs/tools/pictures.py`; a test fails when the files differ.

A picture is boxes on a grid and arrows between them. An arrow is a straight line from border to border; what it carries
stands beside its middle.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

FOLDER: Final = Path(__file__).resolve().parents[1] / "pictures"
COLUMN, ROW, PAD = 60, 40, 14
INK, LINE, CARD, PAPER = "#1f2933", "#52606d", "#ffffff", "#f5f7fa"
TINTS: Final = {"ours": "#e0e8f9", "car": "#e3f9e5", "upstream": "#fff3c4", "user": "#ffffff"}
"""What is Parkade's, what is in the car, what is upstream's, and who uses it."""
TEXT: Final = 13


@dataclass(frozen=True, slots=True)
class Box:
    """A named box, in units of the grid: left, top, width, height; the first line is its title."""

    place: tuple[float, float, float, float]
    lines: tuple[str, ...]
    kind: str = "ours"


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one box to another, with words beside its middle, moved by (right, down) pixels."""

    ends: tuple[str, str]
    words: str = ""
    moved: tuple[int, int] = (0, -6)
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A title for those who cannot see it, boxes by name, and arrows."""

    title: str
    boxes: dict[str, Box]
    arrows: tuple[Arrow, ...]


def svg(picture: Picture) -> str:
    """The picture as SVG text."""
    width = max(box.place[0] + box.place[2] for box in picture.boxes.values()) * COLUMN + 2 * PAD
    height = max(box.place[1] + box.place[3] for box in picture.boxes.values()) * ROW + 2 * PAD
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img"',
        f'font-family="Helvetica, Arial, sans-serif" font-size="{TEXT}">',
        f"<title>{escape(picture.title)}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"',
        f'orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>',
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="{PAPER}"/>',
    ]
    drawn = [_arrow(arrow, picture.boxes) for arrow in picture.arrows]
    parts += [line for line, _ in drawn]
    parts += [_box(box) for box in picture.boxes.values()]
    parts += [words for _, words in drawn if words]
    return "\n".join([*parts, "</svg>", ""])


def _box(box: Box) -> str:
    left, top, width, height = _pixels(box)
    middle = left + width / 2
    first = top + height / 2 - (len(box.lines) - 1) * 8 + 4.5
    text = "".join(
        f'<text x="{middle:g}" y="{first + index * 16:g}" text-anchor="middle" fill="{INK if not index else LINE}"'
        f"{'' if index else ' font-weight=' + chr(34) + 'bold' + chr(34)}>{escape(line)}</text>"
        for index, line in enumerate(box.lines)
    )
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" rx="6" fill="{TINTS[box.kind]}" '
        f'stroke="{LINE}"/>{text}'
    )


def _arrow(arrow: Arrow, boxes: dict[str, Box]) -> tuple[str, str]:
    start, end = (_pixels(boxes[name]) for name in arrow.ends)
    (x1, y1), (x2, y2) = _border(start, end), _border(end, start)
    dash = ' stroke-dasharray="5 4"' if arrow.dashed else ""
    line = f'<path d="M{x1:.0f} {y1:.0f}L{x2:.0f} {y2:.0f}" stroke="{LINE}" fill="none" marker-end="url(#tip)"{dash}/>'
    if not arrow.words:
        return line, ""
    x, y = (x1 + x2) / 2 + arrow.moved[0], (y1 + y2) / 2 + arrow.moved[1]
    words = (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle" font-size="{TEXT - 2}" fill="{INK}" stroke="{PAPER}" '
        f'stroke-width="4" paint-order="stroke">{escape(arrow.words)}</text>'
    )
    return line, words


def _pixels(box: Box) -> tuple[float, float, float, float]:
    left, top, width, height = box.place
    return left * COLUMN + PAD, top * ROW + PAD, width * COLUMN, height * ROW


def _border(box: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> tuple[float, float]:
    """Where the line leaves a box: straight where the boxes overlap along an axis, else towards the other's middle."""
    left, top, width, height = box
    low, high = max(left, other[0]), min(left + width, other[0] + other[2])
    if high > low:
        below = other[1] > top
        return (low + high) / 2, top + height if below else top
    low, high = max(top, other[1]), min(top + height, other[1] + other[3])
    if high > low:
        right = other[0] > left
        return left + width if right else left, (low + high) / 2
    x, y = left + width / 2, top + height / 2
    dx, dy = other[0] + other[2] / 2 - x, other[1] + other[3] / 2 - y
    scale = min(width / 2 / abs(dx) if dx else 9e9, height / 2 / abs(dy) if dy else 9e9)
    return x + dx * scale, y + dy * scale


PICTURES: Final = {
    "parts": Picture(
        (
            "The operator reads manifests from the API server, loads Triton and writes cells; carlet orders cars over "
            "NATS; callers ask the router, which asks cars and Triton."
        ),
        {
            "user": Box((0, 0, 3, 1.4), ("kubectl, GitOps", "manifests"), "user"),
            "api": Box((5, 0, 3.4, 1.4), ("Kubernetes API", "the six kinds, pods, nodes"), "upstream"),
            "operator": Box((11, 0, 4.2, 1.4), ("operator", "snapshot, solve, plan, change")),
            "carlet": Box((5, 3.2, 3.4, 1.6), ("carlet", "a node for each cell")),
            "nats": Box((5, 6.4, 3.4, 1.2), ("NATS", "orders down, facts up"), "upstream"),
            "triton": Box((11, 3.2, 4.2, 1.6), ("Triton servers", "datacenter"), "upstream"),
            "car": Box((5, 9, 3.4, 1.8), ("agent in the car", "the owner's contract:", "it has the last word"), "car"),
            "router": Box((11, 6.4, 4.2, 1.2), ("parkade-router", "one queue a workload")),
            "caller": Box((11, 9, 4.2, 1.8), ("any KServe v2 client", "HTTP or gRPC"), "user"),
        },
        (
            Arrow(("user", "api"), "apply"),
            Arrow(("operator", "api"), "watches, writes"),
            Arrow(("operator", "triton"), "loads, unloads", (50, 4)),
            Arrow(("carlet", "api"), "reads cells, writes facts", (76, 4)),
            Arrow(("carlet", "nats"), "desired sets", (42, 4)),
            Arrow(("car", "nats"), "dials out", (34, 4)),
            Arrow(("car", "router"), "dials, then serves", (-34, -10)),
            Arrow(("caller", "router"), "requests", (34, 4)),
            Arrow(("router", "triton"), "", (0, 0)),
        ),
    ),
    "cells": Picture(
        "A pool of cars is cut into cells; each cell is one Kubernetes node; a car keeps its cell.",
        {
            "pool": Box((0, 1.6, 3.4, 1.8), ("VehicleNodePool", "hardware, contract,", "payout, link prices")),
            "cell0": Box((5.4, 0, 3.6, 1.6), ("VehicleCell home-0", "= one Node")),
            "cell1": Box((5.4, 3.4, 3.6, 1.6), ("VehicleCell home-1", "= one Node")),
            "cars0": Box((11, 0, 3.6, 1.6), ("up to 500 cars", "by pseudonym"), "car"),
            "cars1": Box((11, 3.4, 3.6, 1.6), ("up to 500 cars", "by pseudonym"), "car"),
        },
        (
            Arrow(("pool", "cell0"), "made by the operator", (-34, -16)),
            Arrow(("pool", "cell1")),
            Arrow(("cell0", "cars0"), "assignments"),
            Arrow(("cell1", "cars1"), "assignments"),
        ),
    ),
    "cycle": Picture(
        "Eight steps from a snapshot of the cluster to changes, again whenever something happened.",
        {
            "read": Box((0, 0, 2.6, 1.4), ("1 read", "a snapshot")),
            "frame": Box((3.6, 0, 2.6, 1.4), ("2 frame", "as numbers")),
            "solve": Box((7.2, 0, 2.6, 1.4), ("3 solve", "with a bound")),
            "plan": Box((10.8, 0, 2.6, 1.4), ("4 plan", "names, reasons")),
            "diff": Box((10.8, 2.8, 2.6, 1.4), ("5 diff", "ordered steps")),
            "check": Box((7.2, 2.8, 2.6, 1.4), ("6 check", "a fresh snapshot")),
            "apply": Box((3.6, 2.8, 2.6, 1.4), ("7 apply", "within budgets")),
            "report": Box((0, 2.8, 2.6, 1.4), ("8 report", "status, metrics")),
        },
        tuple(
            Arrow(ends)
            for ends in (
                ("read", "frame"), ("frame", "solve"), ("solve", "plan"), ("plan", "diff"), ("diff", "check"),
                ("check", "apply"), ("apply", "report"), ("report", "read"),
            )
        ),
    ),
    "presence": Picture(
        "A car is Here while it beats, Silent while it does not and nobody saw it leave, and Gone after that.",
        {
            "here": Box((0, 0, 3, 1.4), ("Here", "gets new work"), "car"),
            "silent": Box((7, 0, 3.2, 1.4), ("Silent", "keeps its replicas"), "upstream"),
            "gone": Box((3.4, 4, 3.4, 1.4), ("Gone", "others take over"), "user"),
        },
        (
            Arrow(("here", "silent"), "beats missing"),
            Arrow(("silent", "gone"), "seen leaving, or keepFor is over", (92, 6)),
            Arrow(("here", "gone"), "it said so, or was seen leaving", (-96, 6)),
        ),
    ),
    "request": Picture(
        "A request goes to a replica that is known to be free; a miss is tried at another place within the deadline.",
        {
            "caller": Box((0, 1.6, 2.6, 1.4), ("caller", "a deadline"), "user"),
            "queue": Box((4.2, 1.6, 3.4, 1.4), ("the owner router", "one queue")),
            "one": Box((10.4, 0, 3.8, 1.2), ("car", "an idle connection"), "car"),
            "two": Box((10.4, 1.7, 3.8, 1.2), ("another car", "an idle connection"), "car"),
            "three": Box((10.4, 3.4, 3.8, 1.2), ("Triton server", "a free slot"), "upstream"),
        },
        (
            Arrow(("caller", "queue"), "infer"),
            Arrow(("queue", "one"), "first try", (0, -8)),
            Arrow(("queue", "two"), "after a miss", (0, -5), dashed=True),
            Arrow(("queue", "three"), "from the third try on", (0, 22), dashed=True),
        ),
    ),
}  # fmt: skip


def main() -> None:
    """Write every picture."""
    FOLDER.mkdir(exist_ok=True)
    for name, picture in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(svg(picture), encoding="utf-8")


if __name__ == "__main__":
    main()
