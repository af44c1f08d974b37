"""The dashboards' files: those of the code, in plain words, on metrics that are documented, and of no car."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dashboards.all_boards import BOARDS, FOLDER
from dashboards.board import Board, Chart
from dashboards.grafana import COLUMNS, as_json
from dashboards.picture import axis, shown

CHARTS = [(board, chart) for board in BOARDS for row in board.rows for chart in row.charts]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_the_files_are_those_of_the_code(board: Board) -> None:
    said = f"charts/parkade/dashboards/{board.name}.json differs from charts/dashboards; run `make dashboards`"
    assert (FOLDER / f"{board.name}.json").read_text() == as_json(board), said


def test_there_is_no_other_file() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == {board.name for board in BOARDS}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_panels_do_not_overlap_and_leave_no_hole(board: Board) -> None:
    taken: set[tuple[int, int]] = set()
    panels: list[dict[str, Any]] = json.loads(as_json(board))["panels"]
    for panel in panels:
        place = panel["gridPos"]
        columns, rows = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = {(column, row) for column in columns for row in rows}
        assert not cells & taken, panel["title"]
        taken |= cells
    height = 1 + max(row for _, row in taken)
    assert len(taken) == COLUMNS * height


@pytest.mark.parametrize(("board", "chart"), CHARTS, ids=lambda each: each.title)
def test_a_panel_says_what_it_shows(board: Board, chart: Chart) -> None:
    assert chart.title[0].isupper() or chart.title == "carlet", board.title
    assert chart.says.endswith(".")
    for query in chart.queries:
        grouped = {label for found in re.findall(r"by \(([\w, ]+)\)", query.expr) for label in found.split(", ")}
        assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) <= grouped | {"instance"}, query.legend
        chosen = set(re.findall(r'=~"\$(\w+)"', query.expr))
        assert chosen <= {choice.name for choice in board.choices}


def test_every_metric_is_documented(repository_root: Path) -> None:
    table = set(
        re.findall(r"^\| `(parkade_\w+)`", (repository_root / "docs" / "monitoring.md").read_text(), re.MULTILINE)
    )
    rules = (repository_root / "charts" / "parkade" / "rules" / "parkade.yaml").read_text()
    spoken = {word for _, chart in CHARTS for query in chart.queries for word in _metrics(query.expr)}
    spoken |= {word for line in rules.splitlines() if "runbook" not in line for word in _metrics(line)}
    assert spoken - table == set()


def _metrics(text: str) -> set[str]:
    return {word.removesuffix("_bucket") for word in re.findall(r"(?<![\w:.])parkade_\w+", text)}


def test_nothing_is_asked_by_car() -> None:
    assert "vehicle" not in {
        label for _, chart in CHARTS for query in chart.queries for label in re.findall(r"by \((.*?)\)", query.expr)
    }


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ((0, 0), (0, 1)),
        ((0, 43.3), (0, 50)),
        ((0.2, 9.49), (0, 10)),
        ((-0.3, 0.31), (-0.4, 0.4)),
        ((0, 0.0387), (0, 0.04)),
    ],
)
def test_an_axis_of_a_picture_has_round_numbers(values: tuple[float, float], ends: tuple[float, float]) -> None:
    assert axis(*values) == pytest.approx(ends)


def test_a_value_of_a_picture_is_short_and_has_its_unit() -> None:
    assert (shown(1.24e6, "Bps"), shown(2030, "joule"), shown(0.5, "percentunit")) == ("1.24 MB/s", "2.03 kJ", "50 %")
