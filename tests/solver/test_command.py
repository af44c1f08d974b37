import json
import subprocess
import sys
from pathlib import Path

import pytest

from parkade.problem.flattening import flatten
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
