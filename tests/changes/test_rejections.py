"""Who rejects a model, for how long it is left alone, and what is forgotten."""

from dataclasses import replace
from datetime import timedelta

import pytest

from changes.scene import CELL, DIGEST, KEY, NOW, POOL, S1, S2, VERSION, cell, loaded, server, snapshot, workload
from parkade.api import parse
from parkade.changes import observe_rejections
from parkade.changes.rejections import FIRST_PAUSE, LONGEST_PAUSE, TRIAL

FAILED = loaded(instances=0, ready=False, failure="bad graph")
CAR_SAID = "2 vehicles would not take it, asked again later; one said ModelRejected: bad graph"


def refused(reason="Failed", message=CAR_SAID, *, ready=0, generation=1, name=CELL):
    found = cell(name, replicas=2, ready=1)
    row = found.status.assignments[0].model_copy(
        update={"ready": ready, "reason": reason, "message": message, "observed_generation": generation}
    )
    return found.model_copy(update={"status": found.status.model_copy(update={"assignments": (row,)})})


def pools(**facts):
    return [entry.pool for entry in observe_rejections((), snapshot(**facts))]


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ((server(S1, FAILED), server(S2)), [POOL]),
        ((server(S1, replace(FAILED, version=0)),), [POOL]),
        ((server(S1, FAILED), server(S2, loaded())), []),
        ((server(S1, replace(FAILED, passing=True)),), []),
        ((server(S1, replace(FAILED, version=VERSION + 1)),), []),
        ((server(S1, FAILED, live=False),), []),
    ],
    ids=["one says so", "without a version", "another serves", "it may pass", "an older file", "not there"],
)
def test_a_triton_pool_rejects_what_one_server_cannot_load_and_none_holds(servers, expected):
    assert pools(servers=servers) == expected


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ((refused(),), ["ca-home"]),
        ((refused("Refused", "one said NotEnoughMemory: ..."),), ["ca-home"]),
        ((refused(message="1 vehicles would not take it; one said DiskFull: ..."),), []),
        ((refused("Loading", ""),), []),
        ((refused(ready=1),), []),
        ((refused(generation=0),), []),
        ((refused(), cell("ca-home-1", replicas=2, ready=1)), []),
    ],
    ids=["failed", "refused", "a full disk", "loading", "one is ready", "an older order", "another cell serves"],
)
def test_a_vehicle_pool_rejects_what_its_cars_would_not_take_and_none_holds(cells, expected):
    assert pools(cells=cells) == expected


def later(seconds, **facts):
    return snapshot(now=NOW + timedelta(seconds=seconds), **facts)


def test_a_rejection_outlives_its_evidence_and_is_tried_again_after_a_pause():
    (first,) = observe_rejections((), snapshot(cells=(refused(),)))
    assert (first.workload, first.sha256, first.message, first.trial) == (KEY, DIGEST, CAR_SAID, False)
    pause = FIRST_PAUSE.total_seconds()
    assert observe_rejections((first,), later(pause - 1)) == (first,)
    (trial,) = observe_rejections((first,), later(pause))
    assert trial.trial
    assert observe_rejections((trial,), later(pause + TRIAL.total_seconds())) == ()


def test_a_trial_that_fails_doubles_the_pause_up_to_the_longest():
    (entry,) = observe_rejections((), snapshot(cells=(refused(),)))
    pauses = []
    for _ in range(9):
        before, now = entry.since, entry.since
        while entry.since == before:
            now += timedelta(seconds=30)
            (entry,) = observe_rejections((entry,), snapshot(now=now, cells=(refused(),)))
        pauses.append(entry.since - before - TRIAL)
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert not entry.trial


def test_another_file_is_no_longer_rejected():
    entries = observe_rejections((), snapshot(cells=(refused(),)))
    other = [{"source": "https://models.example/m.onnx", "sha256": "cd" * 32}]
    manifest = workload().manifest()
    manifest["spec"]["model"]["artifacts"] = other
    assert observe_rejections(entries, snapshot(workloads=(parse(manifest),))) == ()
    assert observe_rejections(entries, snapshot(workloads=())) == ()
