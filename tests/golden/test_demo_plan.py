"""The demo's manifests through the whole pipeline: manifests, framing, solver, packing, naming, table."""

import re
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from parkade.plan.command import plan

MANIFESTS = Path(__file__).parents[2] / "e2e" / "demo" / "manifests"
GOLDEN = Path(__file__).with_name("demo-plan.txt")


def rendered(target: Path, **changes: str) -> Path:
    """The manifests with fixed addresses and digests; `changes` replace text in them."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        stand_in = {"SHA256": sha256(name.encode()).hexdigest(), "URL": f"https://models.example/{name.lower()}"}
        return stand_in.get(name.rsplit("_", 1)[1], f"triton.example:{9000 + len(name) + ord(name[7])}")

    for file in sorted(MANIFESTS.glob("*.yaml")):
        text = re.sub(r"\$\{(\w+)\}", value, file.read_text().replace("${TRITON_REPOSITORY}", "file:///srv/models"))
        for old, new in changes.items():
            text = text.replace(old, new)
        (target / file.name).write_text(text)
    return target


def planned(folder: Path) -> str:
    result = CliRunner().invoke(plan, ["-f", str(folder), "--at", "2026-01-01T00:00:00Z"])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_table_is_the_golden_one(tmp_path):
    output = planned(rendered(tmp_path))
    # The gap belongs to the solver's version; tests/solver proves it.
    gap = re.search(r"^gap ([0-9.]+)% before packing, ([0-9.]+)% after.*\n", output, re.MULTILINE)
    assert gap is not None
    assert float(gap[1]) <= float(gap[2]) < 2.0
    assert output.replace(gap[0], "") == GOLDEN.read_text()


OPPORTUNITY = "perServerHour: "
HOME_PAYOUT = "perComputeHour: {}}}\n  links:\n  - {{name: WiFi"


@pytest.mark.parametrize(
    ("old", "new", "moved"),
    [
        (f'{OPPORTUNITY}"0.85"', f'{OPPORTUNITY}"1.50"', "vision/sign-detector"),
        (HOME_PAYOUT.format('"0.04"'), HOME_PAYOUT.format('"0.20"'), "vision/sign-reader"),
    ],
    ids=["opportunity", "payout"],
)
def test_one_price_moves_exactly_one_workload(tmp_path, old, new, moved):
    def places(output: str) -> dict[str, str]:
        return dict(re.findall(r"^(\w+/[\w-]+) +([\w-]+) +(?:Vehicle|Datacenter)", output, re.MULTILINE))

    before = places(planned(rendered(tmp_path)))
    after = places(planned(rendered(tmp_path, **{old: new})))
    assert len(set(before.values())) == 3
    assert {key for key in before if before[key] != after[key]} == {moved}
