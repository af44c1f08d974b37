"""The benchmark of forecasts runs on its sample, and its scores are what their definitions say."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.departures import scoring
from benchmarks.departures.__main__ import SAMPLE, SCORED_FROM, main
from benchmarks.departures.drawing import picture
from benchmarks.departures.replaying import METHODS, Session, read, replay
from parkade.errors import InvalidInput

HEAD = "arrival,departure,station_id,estimated_departure,claimed\n"


def test_the_sample_is_scored(tmp_path):
    done = CliRunner().invoke(main, ["--every", "8", "--json", str(tmp_path / "scores.json")])
    assert done.exit_code == 0, done.output
    sections = {each["name"]: each for each in json.loads((tmp_path / "scores.json").read_text())["sections"]}
    for site in ("caltech", "jpl"):
        methods = sections[f"{site}: with a declared departure"]["figures"]
        assert set(methods) == set(METHODS)
        brier = {method: methods[method]["brier"][2] for method in METHODS}
        assert brier["agent"] < min(brier[other] for other in ("always the same", "as declared", "new car"))
        assert brier["agent, as sent"] < 1.03 * brier["agent"], "steps cost little"
    assert all(must["holds"] for each in sections.values() for must in each["musts"]), sections


def test_only_what_a_driver_said_is_a_declaration(tmp_path):
    (tmp_path / "here_1.csv").write_text(
        HEAD
        + "2019-09-02 08:00:00-07:00,2019-09-02 12:00:00-07:00,7,2019-09-02 12:00:00-07:00,False\n"
        + "2019-09-02 07:00:00-07:00,2019-09-02 12:00:00-07:00,8,2019-09-02 11:00:00-07:00,True\n"
    )
    first, second = read([tmp_path / "here_1.csv"])
    assert (first.station, first.declared - first.start, first.end - first.start) == ("8", 240.0, 300.0)
    assert (second.site, second.declared, second.minute_of_week) == ("here", None, 480.0)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidInput, match="no table of charging sessions"):
        read([tmp_path / "other.csv"])


def test_nothing_is_said_from_what_has_not_ended():
    sessions = [it for it in read(sorted(SAMPLE.glob("*.csv"))) if it.start >= SCORED_FROM][:300]
    [*_, last] = sessions
    early = replay(sessions, len(sessions), 0.0).curves[0]
    alone = replay([sessions[0]], 1, 0.0).curves[0]
    assert np.array_equal(early, alone, equal_nan=True), "later sessions changed what was said of the first"
    again = Session(last.start, last.end + 60.0, last.site, last.station, last.declared, last.when)
    said = [replay([*sessions[:-1], it], 1, last.start).curves[0] for it in (last, again)]
    assert np.array_equal(*said, equal_nan=True), "its own end changed what was said of it"


def test_scores_by_hand():
    said, left = np.array([[0.2, 0.5, 1.0], [0.4, 0.5, 0.0]]), np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    assert scoring.brier(said, left) == pytest.approx([(0.04 + 0.36) / 2, 0.25, 0.0])
    assert scoring.log_loss(said, left)[:2] == pytest.approx([-np.log(0.8 * 0.4) / 2, np.log(2)])
    assert scoring.log_loss(said, left)[2] == pytest.approx(-np.log(1 - scoring.SURE))
    bins = scoring.calibration(np.array([0.02, 0.02, 0.55, 1.0]), np.array([0.0, 1.0, 1.0, 1.0]))
    assert [(it.looks, it.said, it.left) for it in bins] == [(2, 0.02, 0.5), (1, 0.55, 1.0), (1, 1.0, 1.0)]
    assert scoring.miscalibration(bins) == pytest.approx((2 * 0.48 + 0.45) / 4)
    assert picture({"5 min": bins}, "t").count("<circle") == 3 + 1
