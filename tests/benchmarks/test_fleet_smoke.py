"""The benchmark of the fleet runs with 2,000 driven vehicles, and nothing is unloaded, deleted or lost on the way."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks.fleet.drivers import added
from benchmarks.fleet.parts import PARTS, late

# A control plane, 2,000 TLS connections and carlet for most of a minute.
smoke = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def sections(tmp_path_factory, repository_root):
    output = tmp_path_factory.mktemp("bench") / "results.json"
    paths = os.pathsep.join(str(repository_root / room) for room in ("tests", "operator"))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fleet", "--quick", "--json", output],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([paths, os.environ.get("PYTHONPATH", "")])},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(zip(PARTS, json.loads(output.read_text())["sections"], strict=True))


class TestQuick:
    pytestmark = smoke

    def test_every_part_is_measured(self, sections):
        for name, section in sections.items():
            assert section["figures"], name

    def test_a_lost_link_costs_no_model_no_pod_and_no_untouched_node(self, sections):
        figures = sections["lose"]["figures"]
        assert figures["vehicles"] >= 200
        assert figures["dials"] >= figures["vehicles"]
        assert (figures["reloads"], figures["unloads"], figures["podsDeleted"], figures["nodesChanged"]) == (0, 0, 0, 0)

    def test_vehicles_come_back_with_the_tls_session_they_had(self, sections):
        figures = sections["lose"]["figures"]
        assert figures["resumed"] > 0.9 * figures["dials"]

    def test_departures_and_silence_are_noticed(self, sections):
        assert sections["depart"]["figures"]["replicas"] > 0
        vanished = sections["vanish"]["figures"]
        assert vanished["vehicles"] > 100
        assert vanished["silent"] + vanished["gone"] >= vanished["vehicles"]


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
