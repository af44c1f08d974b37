import json
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

import worlds
from parkade.errors import InvalidInput, InvalidManifest, InvalidProblem
from parkade.plan.command import explain, plan
from parkade.plan.prices import solution_arrays
from parkade.problem.flattening import flatten
from parkade.problem.format import Problem
from parkade.solver import solve as solve_problem
from parkade.solver.command import solve


def run(*arguments):
    result = CliRunner().invoke(plan, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def folder(tmp_path):
    objects = [worlds.region(), worlds.cars(), worlds.servers(), worlds.workload()]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all([it.manifest() for it in objects]))
    return tmp_path


def test_json_has_the_plan_and_the_break_even(folder):
    result = run("-f", folder, "-o", "json", "--at", "2026-01-01T00:00:00Z")
    document = json.loads(result)
    assert document["workloads"][0]["placements"][0]["place"] == "ca-home-hw4"
    assert document["flips"][0]["other"] == "Datacenter"
    assert document["certificate"]["bound"] <= document["certificate"]["objective"]


def test_what_is_explained_follows_from_the_recorded_files(folder, tmp_path):
    problem, solution = tmp_path / "problem.json", tmp_path / "solution.json"
    told = run(
        "-f", folder, "--at", "2026-01-01T00:00:00Z", "--explain", "vision/sign-reader", "--save-problem", problem
    )
    for command in (
        (solve, str(problem), "-o", str(solution)),
        (explain, str(problem), str(solution), "vision/sign-reader"),
    ):
        result = CliRunner().invoke(command[0], command[1:], catch_exceptions=False)
        assert result.exit_code == 0
    assert told.startswith(result.output)
    assert "the best place not used is austin-a100" in told
    for field in ("opportunityCost.perServerHour", "payout.perComputeHour", "energyPrice.perKWh"):
        assert re.search(rf"Datacenter wins when .*{field} goes from", told)


def test_arrays_in_files_are_explained_alike(folder, tmp_path):
    written = tmp_path / "problem.json"
    told = run(
        "-f", folder, "--at", "2026-01-01T00:00:00Z", "--explain", "vision/sign-reader", "--save-problem", written
    )
    problem = Problem.from_json(written.read_bytes())
    flatten(problem).to_npz(tmp_path / "problem.npz")
    np.savez(tmp_path / "solution.npz", **solution_arrays(solve_problem(problem)))
    files = [str(tmp_path / name) for name in ("problem.npz", "solution.npz")]
    assert told.startswith(CliRunner().invoke(explain, [*files, "vision/sign-reader"], catch_exceptions=False).output)
    (tmp_path / "solution.npz").write_bytes(b"PK")
    with pytest.raises(InvalidProblem, match=r"is not a solution: .*; write one by parkade solve PROBLEM -o"):
        CliRunner().invoke(explain, [*files, "vision/sign-reader"], catch_exceptions=False)


def test_explaining_a_workload_that_is_not_there_names_those_that_are(folder):
    with pytest.raises(InvalidInput, match="no such workload; the manifests have vision/sign-reader"):
        run("-f", folder, "--explain", "vision/other")


def test_equal_manifests_print_equal_bytes(folder):
    first, second = (run("-f", folder, "--at", "2026-01-01T00:00:00Z") for _ in range(2))
    assert first == second
    assert "CheapestPlace" in first


def test_a_series_of_a_config_map_is_read(folder):
    dear = worlds.cars(energyPrice={"series": {"configMap": "prices", "key": "plug.csv"}})
    (folder / "all.yaml").write_text(
        yaml.safe_dump_all([it.manifest() for it in (worlds.region(), dear, worlds.workload())])
        + "---\n"
        + yaml.safe_dump({"kind": "ConfigMap", "metadata": {"name": "prices"},
                          "data": {"plug.csv": "2026-01-01T00:00:00Z,0.31\n2026-01-01T01:00:00Z,1.31\n"}})
    )  # fmt: skip
    at = [json.loads(run("-f", folder, "-o", "json", "--at", f"2026-01-01T0{hour}:30:00Z")) for hour in (0, 1)]
    # one more dollar a kWh for two cars of 113.6 W
    assert at[1]["cost"]["energy"] - at[0]["cost"]["energy"] == pytest.approx(2 * 0.11364, abs=1e-4)


def test_a_pool_whose_cars_differ_has_one_price_in_a_reason(folder):
    expected = {"pluggedIn": 100, "charging": 50, "awake": 10, "links": {"WiFi": 60, "Ethernet": 40}}
    objects = [worlds.region(), worlds.cars(vehicles=40, expected=expected), worlds.servers(), worlds.workload()]
    (folder / "all.yaml").write_text(yaml.safe_dump_all([it.manifest() for it in objects]))
    (reason,) = re.findall(r"alone it would cost (.*?);", run("-f", folder))
    assert re.fullmatch(r"0\.\d+ \$/h at ca-home-hw4, [\d.]+ \$/h at austin-a100", reason)


def test_servers_that_only_a_cluster_knows_are_named(folder):
    pods = worlds.servers(endpoints={"selector": {"namespace": "triton", "matchLabels": {"app": "triton"}}})
    objects = [worlds.region(), worlds.cars(), pods, worlds.workload()]
    output = run("-f", folder)
    assert "ServersNotCounted" not in output
    (folder / "all.yaml").write_text(yaml.safe_dump_all([it.manifest() for it in objects]))
    output = run("-f", folder)
    assert "TritonPool austin-a100: ServersNotCounted: endpoints.selector finds servers in a cluster only" in output


def test_unknown_hardware_and_fields_that_do_nothing_yet_are_named(folder):
    odd = worlds.workload(
        model={"profiles": [{"hardware": "hw4", "serviceTime": "12ms"}, {"hardware": "hw9", "serviceTime": "1ms"}]},
        demand=[{"region": "us-ca", "rate": "60"}, {"region": "us-ny", "rate": "1"}],
    )
    servers = worlds.servers(battery={"capacityKWh": 3900, "powerKW": 1000})
    manifests = [worlds.region(), worlds.cars(), servers, odd]
    (folder / "all.yaml").write_text(yaml.safe_dump_all([it.manifest() for it in manifests]))
    output = run("-f", folder)
    assert "UnknownHardware: no pool declares the hardware hw9; use one of a100, hw4" in output
    assert "UnknownRegion: no Region is named us-ny; apply one" in output
    assert "FieldsNotHonoured" in output
    assert "spec.battery" in output


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("kind: ConfigMap\n", "has no InferenceWorkload; write one"),
        ("a: [", "all.yaml: this is not YAML"),
        (
            "apiVersion: parkade.dev/v1alpha1\nkind: Region\nmetadata: {name: us-ca}\nspec: {jurisdiction: US}\n",
            "spec.energyPrice: Required value",
        ),
    ],
)
def test_bad_input_is_one_sentence_with_file_and_field(folder, text, sentence):
    (folder / "all.yaml").write_text(text)
    with pytest.raises(InvalidManifest) as refused:
        run("-f", folder)
    assert sentence in str(refused.value)


def test_the_process_says_one_sentence_and_exits_with_2(folder):
    (folder / "all.yaml").write_text("a: [")
    command = [sys.executable, "-c", "from parkade.cli import main; main()", "plan", "-f", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("parkade: ")
    assert "Traceback" not in result.stderr


def test_a_name_used_twice_is_refused(folder):
    (folder / "more.yaml").write_text(yaml.safe_dump(worlds.workload().manifest()))
    with pytest.raises(InvalidManifest, match="vision/sign-reader is there twice"):
        run("-f", folder)


def test_a_wrong_instant_is_refused(folder):
    with pytest.raises(InvalidManifest, match="write for example 2026-08-18"):
        run("-f", folder, "--at", "yesterday")
