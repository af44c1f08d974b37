"""Argo CD's health of Parkade's objects, by a real Lua."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from parkade.api import KINDS, Reason

lupa = pytest.importorskip("lupa.lua51", reason="make setup installs it")
"""Argo CD runs Lua 5.1."""

PREFIX = "resource.customizations.health.parkade.dev_"
Judge = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def scripts(repository_root: Path) -> Mapping[str, str]:
    data = yaml.safe_load((repository_root / "charts" / "argocd" / "argocd-cm.yaml").read_text())["data"]
    return {key.removeprefix(PREFIX): text for key, text in data.items() if key.startswith(PREFIX)}


@pytest.fixture(scope="module")
def judge(scripts: Mapping[str, str]) -> Judge:
    """Status and message of an object with these conditions, each (status, reason)."""
    lua = lupa.LuaRuntime(register_eval=False, register_builtins=False)
    function = lua.eval(f"function(obj) {scripts['InferenceWorkload']} end")

    def health(generation: int = 1, **conditions: tuple[str, str]) -> tuple[str, str]:
        rows: list[dict[str, Any]] = [
            {"type": kind, "status": status, "reason": reason, "message": "a sentence", "observedGeneration": 1}
            for kind, (status, reason) in conditions.items()
        ]
        found = {"metadata": {"generation": generation}} | ({"status": {"conditions": rows}} if rows else {})
        told = function(lua.table_from(found, recursive=True))
        return told.status, told.message

    return health


def test_every_kind_has_the_script(scripts: Mapping[str, str]) -> None:
    assert scripts.keys() == KINDS.keys()
    assert len(set(scripts.values())) == 1


@pytest.mark.parametrize(
    ("conditions", "health"),
    [
        ({}, "Progressing"),
        ({"Ready": ("True", "Ready")}, "Healthy"),
        ({"Ready": ("True", "Ready"), "SLOMet": ("True", "TargetMet")}, "Healthy"),
        ({"Ready": ("True", "Ready"), "SLOMet": ("Unknown", "NotPlannedYet")}, "Healthy"),
        ({"Ready": ("True", "Ready"), "SLOMet": ("False", "LateButServed")}, "Degraded"),
        ({"Ready": ("True", "Ready"), "Placed": ("False", "NotEnoughCapacity")}, "Degraded"),
        ({"Ready": ("True", "Ready"), "FieldsHonoured": ("False", "FieldsNotHonoured")}, "Healthy"),
        ({"Ready": ("Unknown", "NotPlannedYet")}, "Progressing"),
        ({"Ready": ("False", "Fetching")}, "Progressing"),
        ({"Ready": ("False", "WaitingForVehicles")}, "Progressing"),
        ({"Ready": ("False", "Suspended")}, "Suspended"),
        ({"Ready": ("False", "Observing")}, "Suspended"),
        ({"Ready": ("False", "NoDemand")}, "Healthy"),
        ({"Ready": ("False", "NoPlace")}, "Degraded"),
        ({"Ready": ("False", "DigestMismatch")}, "Degraded"),
    ],
)
def test_health_is_that_of_the_conditions(judge: Judge, conditions: dict[str, tuple[str, str]], health: str) -> None:
    assert judge(**conditions)[0] == health


def test_the_sentence_is_shown_and_an_older_one_is_not(judge: Judge) -> None:
    assert judge(Ready=("False", "NoPlace")) == ("Degraded", "NoPlace: a sentence")
    assert judge(generation=2, Ready=("True", "Ready"))[0] == "Progressing"


def test_every_reason_is_judged_and_those_on_the_way_are_ours(judge: Judge, scripts: Mapping[str, str]) -> None:
    found = {reason.value: judge(Ready=("False", reason.value))[0] for reason in Reason}
    assert set(found.values()) == {"Degraded", "Progressing", "Suspended", "Healthy"}
    named = {reason for reason in found if f"{reason} = " in scripts["InferenceWorkload"]}
    assert named == {reason for reason, health in found.items() if health != "Degraded"}
