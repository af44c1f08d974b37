"""The calibration as a picture: points of what was said against what was seen, one colour a horizon."""

from collections.abc import Mapping, Sequence

from benchmarks.departures.scoring import Bin

SIDE, EDGE = 320, 44
"""Pixels of the square, and of the margin that holds its labels."""
COLOURS = ("#b3541e", "#2a6f97", "#3b7d3b")


def picture(bins: Mapping[str, Sequence[Bin]], title: str) -> str:
    """Return an SVG; the area of a point grows with the number of looks."""
    most = max(each.looks for found in bins.values() for each in found)
    parts = [*_frame(title), *_legend(list(bins))]
    for colour, found in zip(COLOURS, bins.values(), strict=False):
        points = " ".join(f"{_x(each.said):.1f},{_y(each.left):.1f}" for each in found)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-opacity="0.4"/>')
        for each in found:
            radius = 2.0 + 6.0 * (each.looks / most) ** 0.5
            parts.append(
                f'<circle cx="{_x(each.said):.1f}" cy="{_y(each.left):.1f}" r="{radius:.1f}" fill="{colour}" '
                f'fill-opacity="0.75"><title>{each.looks:,} looks: said {each.said:.3f}, left {each.left:.3f}</title>'
                "</circle>"
            )
    size = SIDE + 2 * EDGE
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" width="{size}" height="{size}" '
    return f'{head}font-family="sans-serif" font-size="11">\n' + "\n".join(parts) + "\n</svg>\n"


def _x(share: float) -> float:
    return EDGE + SIDE * share


def _y(share: float) -> float:
    return EDGE + SIDE * (1.0 - share)


def _frame(title: str) -> list[str]:
    size = SIDE + 2 * EDGE
    lines = [f'<rect width="{size}" height="{size}" fill="#ffffff"/>']
    lines.append(f'<text x="{size / 2}" y="{EDGE / 2}" text-anchor="middle">{title}</text>')
    for tenth in range(0, 11, 2):
        share = tenth / 10
        lines.append(f'<path d="M{_x(share)} {_y(0)}V{_y(1)}M{_x(0)} {_y(share)}H{_x(1)}" stroke="#dddddd"/>')
        lines.append(f'<text x="{_x(share)}" y="{_y(0) + 14}" text-anchor="middle">{tenth * 10} %</text>')
        lines.append(f'<text x="{_x(0) - 4}" y="{_y(share) + 4}" text-anchor="end">{tenth * 10} %</text>')
    lines.append(f'<path d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke="#888888" stroke-dasharray="4 3"/>')
    lines.append(f'<text x="{_x(0.5)}" y="{_y(0) + 32}" text-anchor="middle">chance that the car said</text>')
    middle = _y(0.5)
    lines.append(f'<text x="10" y="{middle}" text-anchor="middle" transform="rotate(-90 10 {middle})">left</text>')
    return lines


def _legend(names: Sequence[str]) -> list[str]:
    lines = []
    for index, (colour, name) in enumerate(zip(COLOURS, names, strict=False)):
        y = _y(0.96) + 16 * index
        lines.append(f'<circle cx="{_x(0.04)}" cy="{y - 4}" r="4" fill="{colour}"/>')
        lines.append(f'<text x="{_x(0.07)}" y="{y}">{name}</text>')
    return lines
