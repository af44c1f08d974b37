import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parkade.errors import InvalidProblem
from parkade.problem.flattening import flatten
from parkade.problem.format import Problem
from parkade.solver.files import read_problem, read_state
from parkade.solver.solve import Terms, prove
from solver.crowds import crowd

CHECKER = Path(__file__).parents[1] / "oracles" / "checker.py"


def parkade(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = "from parkade.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.fixture
def problem_file(tmp_path: Path, example_text: str) -> Path:
    path = tmp_path / "problem.json"
    path.write_text(example_text)
    return path


def test_solve_writes_a_file_that_the_checker_accepts(problem_file: Path, tmp_path: Path) -> None:
    solution = tmp_path / "solution.json"
    ran = parkade("solve", problem_file, "-o", solution, "--json")
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert report["objective"] == json.loads(solution.read_text())["objective"] == pytest.approx(0.2376)
    assert report["seconds"]["solve"] > 0
    assert report["proof"] == {"by": "HiGHS", "bound": pytest.approx(0.2376), "gap": pytest.approx(0.0, abs=1e-6)}
    assert report["peakMemoryBytes"] > 10e6
    assert "seconds" not in solution.read_text()
    subprocess.run([sys.executable, CHECKER, problem_file, solution], check=True)


def test_the_summary_names_cost_bound_and_gap(problem_file: Path) -> None:
    ran = parkade("solve", problem_file)
    assert ran.stdout.startswith(
        "feasible: 0.2376 $/h, no plan costs less than 0.1892 $/h (gap 20.37%); every cover is"
    )


def test_limits_reach_the_solver(problem_file: Path) -> None:
    limits = {"--work-limit": "work_limit", "--time-limit": "time_limit"}
    large = problem_file.with_name("large.npz")
    flatten(crowd(300)).to_npz(large)
    for option, status in limits.items():
        ran = parkade("solve", large, "--json", option, "0")
        assert json.loads(ran.stdout)["status"] == status


@pytest.fixture
def flat_file(tmp_path: Path) -> Path:
    path = tmp_path / "problem.npz"
    flatten(crowd(300)).to_npz(path)
    return path


def report(*arguments: str | Path) -> dict[str, Any]:
    ran = parkade("solve", *arguments, "--json")
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_a_flat_problem_gives_a_flat_solution_that_the_checker_accepts(flat_file: Path, tmp_path: Path) -> None:
    solution = tmp_path / "solution.npz"
    found = report(flat_file, "-o", solution)
    with np.load(solution) as opened:
        assert (str(opened["status"]), float(opened["objective"])) == (found["status"], found["objective"])
        assert opened["replicas"].sum() > 300
    assert (found["demands"], found["supplies"], found["arcs"], found["limits"]) == (300, 2, 600, 0)
    subprocess.run([sys.executable, CHECKER.with_name("certificate.py"), flat_file, solution], check=True)


def test_both_formats_of_a_small_problem_are_solved_alike(problem_file: Path, tmp_path: Path) -> None:
    flat = tmp_path / "problem.npz"
    flatten(Problem.from_json(problem_file.read_text())).to_npz(flat)
    timed = {"seconds", "peakMemoryBytes"}
    one, other = (
        {key: value for key, value in report(file).items() if key not in timed} for file in (problem_file, flat)
    )
    assert one == other
    assert one["proof"]["by"] == "HiGHS"


def test_files_are_the_same_for_any_number_of_threads(flat_file: Path, tmp_path: Path) -> None:
    texts = set()
    for threads in "124":
        solution, state = tmp_path / f"solution-{threads}.npz", tmp_path / f"state-{threads}.npz"
        assert report(flat_file, "--threads", threads, "-o", solution, "--save-state", state)["threads"] == int(threads)
        texts.add((solution.read_bytes(), state.read_bytes()))
    assert len(texts) == 1


def test_a_warm_solve_tells_what_starts_and_stops(flat_file: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.npz"
    cold = report(flat_file, "--save-state", state)
    assert "replicasStarted" not in cold
    warm = report(flat_file, "--warm", state)
    assert warm["objective"] <= cold["objective"] + 1e-9
    assert warm["replicasStarted"] < 30
    with np.load(state) as opened:
        arrays = dict(opened)
    arrays["replicas.arc"], arrays["replicas.count"] = arrays["replicas.arc"][1:], arrays["replicas.count"][1:]
    np.savez(state, **arrays)
    assert report(flat_file, "--warm", state)["replicasStarted"] > 0


def damaged(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flipped(path: Path) -> None:
    """A byte in the middle of an array: the archive's own sums tell."""
    content = bytearray(path.read_bytes())
    content[content.index(b"arcs.cost.npy") + 400] ^= 1
    path.write_bytes(content)


def edited(**changes: Any) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        with np.load(path) as opened:
            arrays = dict(opened)
        for name, value in changes.items():
            key = name.replace("_", ".", 1)
            arrays[key] = value(arrays[key]) if callable(value) else value
        np.savez(path, **{name: array for name, array in arrays.items() if array is not None})

    return apply


def at(index: int, value: float) -> Callable[[Any], Any]:
    def apply(array: Any) -> Any:
        array[index] = value
        return array

    return apply


def one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


FLAT = {
    "truncated": (damaged, "{path} is damaged or no .npz file: "),
    "a bit flipped": (flipped, "arcs.cost cannot be read: BadZipFile: Bad CRC-32"),
    "another version": (edited(version=np.array(2)), "version must be 1, the only version of the problem file"),
    "an array missing": (edited(arcs_cost=None), "arcs.cost is missing from the problem; docs/placement.md lists"),
    "an array too many": (edited(arcs_price=np.zeros(3)), "arcs.price is not an entry of the problem file; remove it"),
    "not a number": (edited(arcs_cost=at(7, np.nan)), "arcs[7].cost is NaN; it must be "),
    "an index too high": (edited(arcs_demand=at(7, 300)), "arcs.demand[7] is 300, but "),
    "text for numbers": (edited(arcs_cost=np.array(["dear"] * 600)), "arcs.cost must be a one-dimensional array of "),
    "objects": (edited(arcs_cost=np.array([None] * 600)), "arcs.cost cannot be read: ValueError: Object arrays "),
    "no archive": (lambda path: path.write_text("{}"), "{path} is damaged or no .npz file: "),
    "one array": (one_array, "{path} holds one array, not a problem; write "),
    "no file": (Path.unlink, "{path} cannot be read: No such file or directory; name an existing problem file"),
}


@pytest.mark.parametrize(("breaking", "sentence"), FLAT.values(), ids=FLAT.keys())
def test_a_bad_flat_file_gives_one_sentence(flat_file: Path, breaking: Callable[[Path], None], sentence: str) -> None:
    breaking(flat_file)
    with pytest.raises(InvalidProblem) as refusal:
        read_problem(flat_file)
    assert str(refusal.value).startswith(sentence.format(path=flat_file))
    assert "\n" not in str(refusal.value)


STATES = {
    "no state": ({}, "{path} has no arcs: it is no state; write one by parkade solve --save-state"),
    "another version": ({"version": 2}, "{path} has another version than 1; write it again by "),
    "another problem's": ({"rents": np.zeros(9)}, "the state's rents has 9 entries where the problem needs 2; use "),
    "no such arc": ({"arcs": np.array([999]), "flow": np.ones(1)}, "the state names arc 999, but the problem has 600 "),
}


@pytest.mark.parametrize(("changes", "sentence"), STATES.values(), ids=STATES.keys())
def test_a_bad_state_gives_one_sentence(flat_file: Path, changes: dict[str, Any], sentence: str) -> None:
    problem, state = read_problem(flat_file), flat_file.with_name("state.npz")
    arrays = {**prove(problem, Terms()).state, "version": np.array(1)} | changes
    np.savez(state, **(arrays if changes else {"version": np.array(1)}))
    with pytest.raises(InvalidProblem) as refusal:
        prove(problem, Terms(), read_state(state))
    assert str(refusal.value).startswith(sentence.format(path=state))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "parkade: the problem file is not JSON: EOF while parsing an object at line 1 column 1; "),
        (None, "parkade: {path} cannot be read: No such file or directory; name an existing problem file"),
    ],
)
def test_a_bad_file_gives_one_sentence(tmp_path: Path, text: str | None, sentence: str) -> None:
    path = tmp_path / "problem.json"
    if text is not None:
        path.write_text(text)
    ran = parkade("solve", path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(sentence.format(path=path))
    assert ran.stderr.count("\n") == 1


def test_the_stub_matches_the_binary() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "parkade.solver._kernel"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout
