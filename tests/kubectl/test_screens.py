"""Screens of `top`, `explain` and `events`, words, and what the page promises of documents."""

import json
import re
from dataclasses import fields, replace
from datetime import timedelta

import pytest

from kubectl.scene import NOW, condition, failing, served, survey, well
from parkade.api.base import manifest_name
from parkade.cluster.surveying import EventFace
from parkade.errors import InvalidInput
from parkade.kubectl import explaining, happenings, planned, status, steering, top
from parkade.kubectl.command import COMMANDS
from parkade.kubectl.document import document
from parkade.kubectl.foreseeing import applied, snapshot_of
from parkade.kubectl.problems import Problem
from parkade.kubectl.screen import Screen
from parkade.kubectl.words import lasting, printable
from parkade.plan import plan_once
from parkade.settings import Economics
from parkade.solver import solve
from worlds import cars, cell, workload

BUSY = survey(
    workloads=(
        served("a", observed={"rate": "3", "p99": "88.1ms"}),
        failing("b", "NoPlace", "no place"),
        served("c", observed={"rate": "900", "p99": "310ms"}),
        failing("d", "Suspended", "spec.suspend is true"),
    ),
    events=tuple(
        EventFace(
            NOW - timedelta(minutes=age), level, reason, "InferenceWorkload", "vision", name, "a sentence", 2, "o"
        )
        for age, level, reason, name in ((90, "Normal", "Ready", "a"), (3, "Warning", "NoPlace", "b"))
    ),
)


def test_those_in_trouble_are_first_and_each_order_is_as_asked():
    def names(order):
        return [row.name for row in top.top_of(BUSY, order).workloads]

    assert names("state")[:2] == ["c", "b"]
    assert names("state")[-1] == "d"
    assert names("rate")[0] == "c"
    assert names("name") == ["a", "b", "c", "d"]
    assert [row.state for row in top.top_of(BUSY, "name").workloads] == ["ready", "NoPlace", "late", "resting"]


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_a_table_fits_its_terminal(width):
    shown = top.render(top.top_of(BUSY), Screen(width))
    assert max(map(len, shown.splitlines())) <= width
    assert "vision/c" in shown


def test_a_live_table_is_no_higher_than_its_terminal():
    shown = top.render(top.top_of(BUSY), Screen(100), lines=6)
    assert len(shown.splitlines()) <= 6
    assert "and 2 more" in shown


def test_an_explanation_has_the_cause_and_the_next_step():
    found = explaining.explanation_of(BUSY, "vision", "b")
    shown = explaining.render(found, Screen(100))
    assert "NoPlace: no place" in shown
    assert "$ kubectl edit inferenceworkload -n vision b" in shown
    assert "3m  workload vision/b: NoPlace (x2): a sentence" in shown
    served_one = explaining.render(explaining.explanation_of(BUSY, "vision", "a"), Screen(100))
    assert "austin-a100 stays warm for the moment in which cars leave" in served_one
    with pytest.raises(InvalidInput, match="there is vision/a"):
        explaining.explanation_of(BUSY, "other", "a")


def test_a_cell_that_lacks_replicas_says_why():
    (cell,) = survey().cells
    order = {"workload": "vision/sign-reader", "digest": "0" * 64, "replicas": 4}
    spec = cell.spec.model_validate(cell.spec.model_dump(by_alias=True) | {"assignments": [order]})
    rows = [order["workload"], 4, 1, "NoVehicle", "3 find no car"]
    said = dict(zip(("workload", "desired", "ready", "reason", "message"), rows, strict=True))
    shown = cell.status.model_validate(cell.status.model_dump(by_alias=True) | {"assignments": [said]})
    facts = survey(cells=(cell.model_copy(update={"spec": spec, "status": shown}),))
    place = explaining.explanation_of(facts, "vision", "sign-reader").places[0]
    assert (place.ordered, place.ready) == (4, 1)
    assert place.message.endswith("; 3 find no car")


def test_events_are_chosen_by_object_age_and_level():
    assert len(happenings.happenings_of(BUSY).events) == 2
    assert [it.name for it in happenings.happenings_of(BUSY, "vision/b").events] == ["b"]
    assert [it.name for it in happenings.happenings_of(BUSY, since=timedelta(hours=1)).events] == ["b"]
    assert [it.name for it in happenings.happenings_of(BUSY, warnings=True).events] == ["b"]
    assert "nothing happened" in happenings.render(happenings.happenings_of(BUSY, "nobody"), Screen(80))


SMALL = cars()
CROWDED = survey(cells=(cell(SMALL, vehicles=6),))


def forecast(manifests=(), facts=CROWDED):
    seen = applied(facts, manifests)
    return planned.forecast_of(seen, plan_once(snapshot_of(seen), Economics(), solve), ("workload vision/newcomer",))


def test_a_forecast_says_what_manifests_would_change():
    rate = [{"region": "us-ca", "rate": "200"}]
    found = forecast([workload("newcomer", demand=rate), workload("sign-reader", suspend=True)])
    assert {row.name: row.change for row in found.workloads} == {
        "newcomer": "starts", "sign-detector": "moves", "sign-reader": "stops",
    }  # fmt: skip
    shown = planned.render(found, Screen(140))
    assert "planned with workload vision/newcomer: 3 workloads changed" in shown
    assert "vision/sign-reader\n  Suspended: spec.suspend is true" in shown
    assert "sign-reader" not in planned.render(found, Screen(140), "vision/newcomer")


def test_what_cannot_be_placed_says_every_reason():
    nowhere = workload("newcomer", placement={"jurisdictions": ["DE"]})
    found = next(row for row in forecast([nowhere]).workloads if row.name == "newcomer")
    assert (found.change, found.planned) == ("waits", ())
    assert "placement.jurisdictions" in " ".join((*found.problems, *found.refused))


def test_statuses_stand_in_for_probes():
    facts = replace(
        CROWDED, workloads=(served(observed={"rate": "9", "byRegion": [{"region": "us-ca", "rate": "9"}]}),)
    )
    (held, free) = snapshot_of(facts).servers
    assert [model.name for model in held.models] == ["sign-reader"]
    assert (held.http, held.models[0].instances, free.models) == ("t:8000", 2, ())
    no_demand = applied(facts, [workload(demand=None)])
    (asked,) = snapshot_of(no_demand).workloads
    assert [(str(row.region), row.rate.value) for row in asked.spec.demand] == [("us-ca", 9.0)]
    (it,) = facts.cells
    status = it.status.model_copy(update={"conditions": (condition("Schedulable", "False", "Drained"),)})
    drained = snapshot_of(replace(facts, cells=(it.model_copy(update={"status": status}),)))
    assert (drained.cordoned_cells, drained.pods) == (frozenset({"ca-home-hw4-0"}), ())


def test_words():
    assert [lasting(span) for span in (-3, 45, 600, 7200, 172800)] == ["0s", "45s", "10m", "2h", "2d"]
    assert printable("a\x1b[31m\tb\u202ec") == "a [31m b c"


def test_unknown_conditions_are_said_to_be_unknown():
    unknown = served("a", well(Ready=condition("Ready", "Unknown", "NotPlannedYet", seconds=3)))
    assert top.top_of(survey(workloads=(unknown,))).workloads[0].state == "NotPlannedYet"


SHAPES = {
    "Status": status.Status, "Problem": Problem, "OperatorState": status.OperatorState, "PartState": status.PartState,
    "WorkloadState": status.WorkloadState, "VehiclePoolState": status.VehiclePoolState,
    "TritonPoolState": status.TritonPoolState, "GridEventState": status.GridEventState, "Top": top.Top,
    "TopRow": top.TopRow, "TopPlace": top.TopPlace, "Explanation": explaining.Explanation,
    "PlaceState": explaining.PlaceState, "Events": happenings.Happenings, "EventFace": EventFace, "Told": steering.Told,
    "Forecast": planned.Forecast, "WorkloadForecast": planned.WorkloadForecast, "PlannedPlace": planned.PlannedPlace,
}  # fmt: skip


def test_the_page_names_every_field_of_every_document(repository_root):
    page = (repository_root / "docs" / "kubectl.md").read_text().split("\n## Documents")[1]
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| (.*) \|$", page, re.MULTILINE))
    assert rows.keys() == SHAPES.keys()
    for kind, shape in SHAPES.items():
        told = re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", rows[kind]))
        assert told == [manifest_name(field.name) for field in fields(shape)], kind


def test_the_page_names_every_command(repository_root):
    page = (repository_root / "docs" / "kubectl.md").read_text()
    assert set(re.findall(r"^\| `(\w+)", page, re.MULTILINE)) >= COMMANDS.keys()


def test_documents_are_json_with_kind_and_version():
    found = json.loads(document("Explanation", explaining.explanation_of(BUSY, "vision", "a")))
    assert (found["apiVersion"], found["kind"], found["plannedAt"]) == (
        "cli.parkade.dev/v1",
        "Explanation",
        "2025-12-31T23:48:00Z",
    )
    assert found["conditions"][0]["lastTransitionTime"]
