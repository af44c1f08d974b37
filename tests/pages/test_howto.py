"""What the how-tos promise: an owner's commands move a real agent, manifests plan as the sentences around them say."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pages.reading import ROOT, Command, blocks, commands
from pages.test_extending import state
from parkade.plan.command import plan
from parkade.vehicle.command import vehicle

__all__ = ["state"]

EXAMPLES = ("regions.yaml", "vehiclenodepool.yaml", "tritonpool.yaml")


def printed(page: str) -> list[dict]:
    return [manifest for block in blocks("yaml") if block.page == page for manifest in yaml.safe_load_all(block.text)]


def examples(*names: str) -> list[dict]:
    return [found for name in names for found in yaml.safe_load_all((ROOT / "examples" / name).read_text())]


def planned(folder: Path, manifests: list[dict], *arguments: str) -> str:
    (folder / "all.yaml").write_text(yaml.safe_dump_all(manifests))
    result = CliRunner().invoke(plan, ["-f", str(folder), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def owner_commands() -> list[Command]:
    pages = ("docs/howto/car-owner.md", "docs/vehicle.md")
    found = [it for it in commands("parkade") if it.page in pages and it.words[1] == "vehicle" and "DIR" in it.words]
    return [command for command in found if command.words[2] != "run"]


def test_every_command_of_an_owner_is_taken_by_a_running_agent(state: Path) -> None:
    found = owner_commands()
    assert {command.words[2] for command in found} >= {
        "status",
        "pause",
        "resume",
        "unplug",
        "tighten",
        "forget-history",
    }
    for command in found:
        words = [str(state) if word == "DIR" else word for word in command.words[2:]]
        result = CliRunner().invoke(vehicle, words)
        assert result.exit_code == 0, (str(command), result.exception)
        assert "v-1 (owners-ca" in result.output
    told = CliRunner().invoke(vehicle, ["status", "--state-dir", str(state)]).output
    for term in ("at least 70 %", "22:00-06:00", "500.0 MiB"):
        assert term in told, told


def test_the_manifest_of_the_ml_engineer_is_explained(tmp_path: Path) -> None:
    manifests = [*examples(*EXAMPLES), *printed("docs/howto/ml-engineer.md")]
    told = planned(tmp_path, manifests, "--explain", "search/embedder", "--at", "2026-01-01T00:00:00Z")
    assert "search/embedder" in told
    assert "ca-home-hw4" in told


@pytest.mark.parametrize(("at", "price"), [("2026-08-18T16:30:00-07:00", 0.19), ("2026-08-18T17:30:00-07:00", 0.64)])
def test_the_series_of_the_energy_manager_is_planned_with(tmp_path: Path, at: str, price: float) -> None:
    def energy(manifests: list[dict]) -> float:
        told = json.loads(planned(tmp_path, manifests, "--at", at, "-o", "json"))
        return float(told["workloads"][0]["cost"]["energy"])

    (pool,) = examples("vehiclenodepool.yaml")
    del pool["spec"]["energyPrice"]
    _, texas = examples("regions.yaml")
    series, region = printed("docs/howto/energy-manager.md")
    others = [texas, pool, *printed("docs/howto/ml-engineer.md")]
    number = region | {"spec": region["spec"] | {"energyPrice": {"perKWh": str(price)}}}
    assert energy([series, region, *others]) == pytest.approx(energy([number, *others]))
    assert energy([number, *others]) > 0
