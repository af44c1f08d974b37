"""The benchmark of the fleet runs with 2,000 driven vehicles, and nothing is unloaded, deleted or lost on the way."""

import json

import pytest

from benchmarks.fleet.__main__ import NAMES
from benchmarks.fleet.drivers import added
from benchmarks.fleet.parts import late, late_in
from benchmarks.fleet.results import Results
from benchmarks.fleet.watching import Watching
from benchmarks.fleet.witnessing import Pace, fleets_of, section
from benchmarks.router.table import Section
from benchmarks.running import results_of

HERE = [name for name in NAMES if name != "cells"]
# Three control planes one after the other, with up to 2,000 TLS connections and carlet each, for five minutes.
smoke = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def sections(tmp_path_factory, repository_root):
    file = tmp_path_factory.mktemp("bench") / "results.json"
    measured = results_of(repository_root, "fleet", "--quick", "--parts", " ".join(HERE), file=file)
    return dict(zip(HERE, measured["sections"], strict=True))


class TestQuick:
    pytestmark = smoke

    def test_every_part_is_measured(self, sections):
        for name, measured in sections.items():
            assert measured["figures"], name

    def test_a_lost_link_costs_no_model_no_pod_and_no_untouched_node(self, sections):
        figures = sections["lose"]["figures"]
        assert figures["vehicles"] >= 200
        assert figures["dials"] >= figures["vehicles"]
        assert (figures["reloads"], figures["unloads"], figures["podsDeleted"], figures["nodesChanged"]) == (0, 0, 0, 0)
        assert figures["secondsFromLastToShown"] >= figures["secondsFromLastToRight"] > 0

    def test_vehicles_come_back_with_the_tls_session_they_had(self, sections):
        figures = sections["lose"]["figures"]
        assert figures["resumed"] > 0.9 * figures["dials"]

    def test_departures_and_silence_are_noticed(self, sections):
        assert sections["depart"]["figures"]["replicas"] > 0
        vanished = sections["vanish"]["figures"]
        assert vanished["vehicles"] > 100
        assert vanished["silent"] + vanished["gone"] >= vanished["vehicles"]

    def test_nothing_that_kubernetes_does_unloads_a_model(self, sections):
        figures = sections["hostile"]["figures"]
        assert len(figures["misfortunes"]) == 8
        assert set(figures["heard"].values()) == {0}

    def test_chargers_keep_cars_whose_link_is_lost_and_hide_no_departure(self, sections):
        figures = sections["witness"]["figures"]
        seen, alone = figures["standing-seen"], figures["standing-alone"]
        assert seen["losses"] == alone["losses"] > 500
        assert alone["falseGone"] > 50 > 10 * seen["falseGone"]
        for name in ("leaving-seen", "leaving-alone"):
            assert figures[name]["announced"] > 0 < figures[name]["silent"]
            assert figures[name]["gonePercent"] > 90


def test_each_part_is_on_disk_before_the_next_begins(tmp_path):
    results = Results(tmp_path / "found.json")
    results.add(Section("One", "of two", ("", "measured"), [("a", "1")], [], {"a": 1}))
    results.fail("two", RuntimeError("too late"))
    found = json.loads((tmp_path / "found.json").read_text())
    assert [section["name"] for section in found["sections"]] == ["One"]
    assert found["failures"] == {"two": "RuntimeError: too late"}
    assert "### One" in (tmp_path / "found.md").read_text()


class TestWatching:
    def node(self, ready, at, message="3 of 3 vehicles here, 0 silent, 0 gone"):
        condition = {"type": "VehiclesPresent", "status": ready, "lastTransitionTime": at, "message": message}
        return {"metadata": {"name": "a-0"}, "status": {"conditions": [condition]}}

    def pod(self, ready):
        return {
            "metadata": {"uid": "1", "name": "p"}, "spec": {"nodeName": "a-0"},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }  # fmt: skip

    def test_a_condition_that_changed_and_changed_back_has_changed(self):
        watched = Watching(None)
        watched.node("ADDED", self.node("True", "t1"))
        watched.node("MODIFIED", self.node("True", "t1", "1 of 3 vehicles here, 2 silent (2 seen by nobody), 0 gone"))
        assert not watched.changed
        assert watched.silent == {"a-0": 2}
        watched.node("MODIFIED", self.node("False", "t2"))
        watched.node("MODIFIED", self.node("True", "t3"))
        assert watched.changed == {"a-0"}
        watched.node("DELETED", self.node("True", "t3"))
        assert watched.lost == {"a-0"}

    def test_a_pod_that_was_unready_or_told_to_end_is_remembered(self):
        watched = Watching(None)
        for ready in ("True", "False", "True"):
            watched.pod("MODIFIED", self.pod(ready))
        assert watched.unready == {("a-0", "p")}
        ending = self.pod("True")
        ending["metadata"]["deletionTimestamp"] = "t1"
        watched.pod("MODIFIED", ending)
        assert watched.deleted == {"1"}


def test_a_load_in_one_cell_replaces_nothing_in_another():
    first = {"seconds": 0.0, "cellUnloads": {}, "cellLoads": {"a": 5, "b": 5}}
    withdrawn = {"seconds": 1.0, "cellUnloads": {"a": 2}, "cellLoads": {"a": 5, "b": 5}}
    elsewhere = {"seconds": 6.0, "cellUnloads": {"a": 2}, "cellLoads": {"a": 6, "b": 9}}
    samples = [first, withdrawn, elsewhere]
    assert [late_in(cell, samples, first, staying=4.0) for cell in "ab"] == [1, 0]


class TestWitnesses:
    def figures(self, false_gone, gone_percent):
        standing = {"losses": 1000, "meanLossSeconds": 400.0, "falseGone": false_gone, "unloadsByOrder": 0}
        standing["falseGonePercent"] = 100 * false_gone / 1000
        leaving = {"announced": 50, "silent": 50, "lostBefore": 20, "gonePercent": gone_percent}
        return {
            "beatSeconds": 60.0, "secondsToAnnouncedGone": 0.1, "standing-seen": standing, "standing-alone": standing,
            "leaving-seen": leaving, "leaving-alone": leaving,
        }  # fmt: skip

    def test_the_bounds_are_those_of_a_beat_of_a_minute(self):
        pace = Pace(60.0)
        assert (pace.keep_for, pace.least, pace.most, pace.noticed) == (300.0, 120.0, 1200.0, 375.0)

    def test_one_false_gone_in_a_thousand_losses_is_the_most(self):
        assert all(must.holds for must in section(self.figures(1, 99.0)).musts)
        assert not section(self.figures(2, 99.0)).musts[0].holds
        assert [must.holds for must in section(self.figures(0, 98.9)).musts[1:3]] == [False, False]

    def test_no_vehicle_is_in_two_fleets_and_few_are_left_out(self):
        assert sum(fleet.vehicles for fleet in fleets_of(12_000)) == 12_000
        assert 90 <= sum(fleet.vehicles for fleet in fleets_of(100)) <= 100


def test_reports_of_drivers_are_added_and_their_times_are_not():
    one = {"seconds": 3.0, "connected": 2, "cells": {"a": 1}}
    other = {"seconds": 4.0, "connected": 3, "cells": {"a": 2, "b": 1}, "lastFailure": "no"}
    assert added([one, other]) == {"seconds": 4.0, "connected": 5, "cells": {"a": 3, "b": 1}, "lastFailure": "no"}


def test_a_replica_is_late_if_its_car_was_gone_before_another_had_loaded_it():
    first = {"unloadsByContract": 10, "loads": 100}
    prompt = [(0.0, 10, 100), (1.0, 14, 100), (2.0, 14, 103), (3.0, 14, 104), (6.0, 14, 104)]
    assert late(prompt, first, staying=4.0) == 0
    slow = [(0.0, 10, 100), (1.0, 14, 100), (5.5, 14, 103), (7.0, 14, 104)]
    assert late(slow, first, staying=4.0) == 1
