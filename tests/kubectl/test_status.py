"""The screen of `kubectl parkade status`: what is judged how, and how it looks."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kubectl.scene import NOW, condition, failing, grid_event, lease, operator, served, showing, stamp, survey, well
from parkade.cluster.surveying import Switches, Withheld
from parkade.kubectl.document import document
from parkade.kubectl.problems import Level
from parkade.kubectl.screen import Screen
from parkade.kubectl.status import ON_SCREEN, render, status_of

SLOW = served("late", observed={"rate": "12", "p50": "100ms", "p99": "310ms", "failed": "0.021"})
NO_PLACE = (
    "no place may run it; mend one of these: austin-a100 is under the law of DE; add it to placement.jurisdictions to "
    "use it; trust.fleets leaves out owners-ca; add it to use ca-home-hw4"
)
NIGHT = survey(
    leases=(operator(900), lease("carlet", "carlet-5d-a", says={"link": "lost"}), lease("router", "r-0", 200),
            lease("router", "r-1")),
    workloads=(
        failing("sign-reader", "NoPlace", NO_PLACE),
        *(failing(f"crop-{i:02}", "NotEnoughCapacity", "12 of 40 finds no free place that is worth its cost")
          for i in range(14)),
        SLOW,
    ),
    grid_events=(grid_event(),),
    switches=Switches("Apply", paused=True, since=NOW, note="firmware roll-out"),
    withheld=(Withheld("vehiclecells", "you may not list vehiclecells.parkade.dev; ask an administrator for it"),),
)  # fmt: skip


def told(facts):
    return [(problem.level, problem.name, problem.reason) for problem in status_of(facts).problems]


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("name", ["well", "night"])
def test_the_screen_is_as_it_was_looked_at(name, width):
    facts = survey() if name == "well" else NIGHT
    shown = render(status_of(facts), Screen(width))
    assert shown == (Path(__file__).parent / "golden" / f"status-{name}-{width}.txt").read_text()


def test_all_is_well_when_nothing_is_said_against_it():
    assert status_of(survey()).verdict == "Well"
    assert told(survey()) == []


@pytest.mark.parametrize(
    ("changes", "level", "reason"),
    [
        ({"leases": survey().leases[1:]}, "Critical", "NoLeader"),
        ({"leases": (operator(16), *survey().leases[1:])}, "Critical", "NoLeader"),
        ({"leases": (operator(cycle=400, trouble="no answer"), *survey().leases[1:])}, "Critical", "CyclesStopped"),
        ({"leases": (operator(trouble="no answer"), *survey().leases[1:])}, "Warning", "CyclesFailing"),
        ({"leases": survey().leases[:3]}, "Critical", "NoRouter"),
        ({"leases": (*survey().leases, lease("router", "r-1", 60))}, "Warning", "LeaseExpired"),
        ({"leases": (*survey().leases[:1], *survey().leases[3:])}, "Critical", "NoCarlet"),
        ({"leases": (*survey().leases, lease("carlet", "c", says={"link": "lost"}))}, "Warning", "LinkLost"),
        ({"switches": Switches(paused=True)}, "Warning", "Paused"),
        ({"switches": Switches(mode="Observe")}, "Notice", "Observing"),
        ({"workloads": (failing("a", "NoPlace", NO_PLACE),)}, "Critical", "NoPlace"),
        (
            {"workloads": (served("a", well(Placed=condition("Placed", "False", "NotEnoughCapacity"))),)},
            "Warning",
            "NotEnoughCapacity",
        ),
        (
            {"workloads": (served("a", well(SLOMet=condition("SLOMet", "False", "LateButServed"))),)},
            "Warning",
            "LateButServed",
        ),
        ({"workloads": (served("a", observed={"rate": "9", "p99": "201ms"}),)}, "Warning", "TargetMissed"),
        ({"workloads": (served("a", observed={"rate": "9", "failed": "0.002"}),)}, "Warning", "RequestsFail"),
        ({"workloads": (served("a", observed={"rate": "9", "failed": "0.2"}),)}, "Critical", "RequestsFail"),
        (
            {"workloads": (served("a", well(Ready=condition("Ready", "Unknown", "NotPlannedYet", minutes=5))),)},
            "Critical",
            "NotPlannedYet",
        ),
        (
            {"workloads": (served("a", well(FieldsHonoured=condition("FieldsHonoured", "False", "UnknownRegion"))),)},
            "Notice",
            "UnknownRegion",
        ),
        ({"grid_events": (grid_event(hours=-1),)}, "Notice", "FieldsNotHonoured"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_a_command_to_type(changes, level, reason):
    found = status_of(survey(**changes))
    assert [(problem.level, problem.reason) for problem in found.problems] == [(level, reason)]
    assert found.problems[0].next.startswith("kubectl ")
    assert found.verdict == {"Notice": "Well"}.get(level, level)


@pytest.mark.parametrize(
    "changes",
    [
        {"workloads": (failing("a", "Suspended", "spec.suspend is true"),)},
        {"workloads": (failing("a", "NoDemand", "nobody asked"),)},
        {"workloads": (served("a", well(Ready=condition("Ready", "Unknown", "NotPlannedYet", seconds=20))),)},
        {"workloads": (served("a", observed={"rate": "9", "p99": "199ms", "failed": "0.001"}),)},
        {"leases": (*survey().leases, lease("router", "gone-long-ago", 4000))},
        {"grid_events": (grid_event(hours=30),)},
        {"leases": (*survey().leases[:1], *survey().leases[3:]), "vehicle_pools": ()},
    ],
)
def test_what_somebody_wanted_or_what_passes_is_no_problem(changes):
    assert told(survey(**changes)) == []


def test_a_deletion_that_hangs_is_told():
    hanging = served("a")
    meta = hanging.metadata.model_copy(update={"deletion_timestamp": stamp(minutes=9)})
    found = status_of(survey(workloads=(hanging.model_copy(update={"metadata": meta}),)))
    assert [(problem.says, problem.reason) for problem in found.problems] == [
        ("is being deleted for 9m", "BeingDeleted")
    ]


def test_cells_servers_and_cars_are_judged_by_what_they_say():
    facts = survey()
    (pool,), (cell,), (triton,) = facts.vehicle_pools, facts.cells, facts.triton_pools
    cars = pool.status.model_copy(update={"vehicles": pool.status.vehicles.model_copy(update={"silent": 6000})})
    cordoned = (condition("Ready"), condition("Schedulable", "False", "Cordoned"))
    down = (condition("Ready", "True", "TritonUnavailable", "1 of 2 servers answer"),)
    found = told(
        replace(
            facts,
            vehicle_pools=(showing(pool, cars),),
            cells=(showing(cell, cell.status.model_copy(update={"conditions": cordoned})),),
            triton_pools=(showing(triton, triton.status.model_copy(update={"conditions": down})),),
        )
    )
    assert found == [
        ("Warning", "ca-home-hw4", "CarsSilent"),
        ("Warning", "austin-a100", "TritonUnavailable"),
        ("Notice", "ca-home-hw4-0", "Cordoned"),
    ]


def test_the_worst_comes_first_and_what_is_alike_is_said_once():
    found = status_of(NIGHT)
    levels = [problem.level for problem in found.problems]
    assert levels == sorted(levels, key=list(Level).index)
    shown = render(found, Screen(140))
    assert "14 workloads (vision/crop-00, vision/crop-01, vision/crop-02 and 11 more): each does not answer" in shown
    assert shown.count("\n          $ ") <= ON_SCREEN
    assert render(found, Screen(100), everything=True).count("NotEnoughCapacity") == 14


def test_what_may_not_be_seen_is_no_all_clear():
    facts = survey(leases=(), withheld=(Withheld("leases", "you may not list leases.coordination.k8s.io"),))
    found = status_of(facts)
    assert found.verdict == "Unknown"
    assert told(facts) == []
    shown = render(found, Screen(100))
    assert "Not shown: leases: you may not list leases.coordination.k8s.io" in shown
    assert "Carlets      not shown" in shown


def test_who_may_see_nothing_is_told_so_once():
    parts = ("inferenceworkloads", "vehiclecells", "gridevents", "leases", "configmaps")
    withheld = tuple(Withheld(part, f"you may not list {part}") for part in parts)
    empty = survey(workloads=(), regions=(), triton_pools=(), vehicle_pools=(), cells=(), leases=(), withheld=withheld)
    shown = render(status_of(empty), Screen(200))
    assert shown.count("not shown") == 6
    assert "Operator     not shown; mode not shown\n" in shown
    assert (
        f"Not shown: {', '.join(parts)}: you may not read them; ask an administrator for the ClusterRole view" in shown
    )


def test_nothing_at_all_is_shown_too():
    empty = survey(workloads=(), regions=(), triton_pools=(), vehicle_pools=(), cells=(), leases=(operator(),))
    shown = render(status_of(empty), Screen(80))
    assert shown.startswith("All is well")
    assert "Workloads    none" in shown


def test_commands_are_never_broken_and_lines_are_no_wider_than_the_terminal():
    long = "a" * 30 + "-" + "b" * 30
    facts = survey(
        workloads=(failing(long, "NoPlace", NO_PLACE),),
        vehicle_pools=(showing(survey().vehicle_pools[0].model_copy(
            update={"metadata": survey().vehicle_pools[0].metadata.model_copy(update={"name": long})}),
            survey().vehicle_pools[0].status),),
    )  # fmt: skip
    shown = render(status_of(facts), Screen(80, flags=" --context staging", own_flags=" --system-namespace other"))
    command = f"$ kubectl parkade explain -n vision {long} --context staging --system-namespace other"
    assert command in shown
    assert [line for line in shown.splitlines() if len(line) > 80 and "$ " not in line] == []


def test_a_message_cannot_write_over_the_screen():
    facts = survey(workloads=(failing("a", "NoPlace", "\x1b[2Jgone\r\x07\nback"),))
    shown = render(status_of(facts), Screen(80))
    assert "\x1b" not in shown
    assert "[2Jgone back" in shown


def test_colours_only_where_they_are_shown():
    assert "\x1b[31;1mCRITICAL  \x1b[0m" in render(status_of(NIGHT), Screen(80, colours=True))
    assert "\x1b" not in render(status_of(NIGHT), Screen(80))


def test_the_document_has_the_documented_shape():
    found = json.loads(document("Status", status_of(NIGHT)))
    assert (found["apiVersion"], found["kind"], found["verdict"]) == ("cli.parkade.dev/v1", "Status", "Critical")
    assert found["at"] == "2026-01-01T00:00:00Z"
    assert set(found["problems"][0]) == {"level", "kind", "name", "says", "reason", "message", "next", "others"}
    assert found["workloads"]["gramsCO2PerHour"] == 16 * 107
    assert found["operator"]["lastCycleSeconds"] is None
    assert len(found["problems"]) == 15 + 7
