"""Every malformed flat problem is refused with a sentence that names the entry; odd but valid ones are solved."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracles.certificate import certify
from parkade.errors import InvalidProblem
from parkade.problem.arrays import ENTRIES, offsets_of
from parkade.problem.flattening import flatten
from parkade.solver import SolutionArrays
from parkade.solver.prepared import Prepared
from parkade.solver.solve import Terms, prove
from strategies import contended

Flat = dict[str, Any]
WORK = 1_000_000


def whole() -> Flat:
    """Four demands of eight covers, three supplies, sixteen arcs, three limits; no ids."""
    return {name: array for name, array in flatten(contended(1)).to_mapping().items() if not name.endswith(".id")}


def put(name: str, at: int, value: float) -> Callable[[Flat], Flat]:
    """The same arrays with another number in one of them."""

    def spoiled(arrays: Flat) -> Flat:
        array = arrays[name].copy()
        array[at] = value
        return {**arrays, name: array}

    return spoiled


def swap(name: str, array: Any) -> Callable[[Flat], Flat]:
    return lambda arrays: {**arrays, name: array}


def twice(arrays: Flat) -> Flat:
    """Each arc's first use listed again."""
    widths = np.diff(arrays["arcs.use_offsets"]) + 1
    first = arrays["arcs.use_offsets"][:-1]
    return {
        **arrays,
        "arcs.use_offsets": offsets_of(widths),
        "arcs.use.resource": np.insert(arrays["arcs.use.resource"], first, arrays["arcs.use.resource"][first]),
        "arcs.use.amount": np.insert(arrays["arcs.use.amount"], first, 1.0),
    }


RANGE = "it must be a number between -1e15 and 1e15"
OUT_OF_RANGE = [
    ("demands.covers.quantity", np.nan, f"demands.covers.quantity[0] is NaN; {RANGE}"),
    ("demands.covers.quantity", -2.0, "demands.covers.quantity[0] is -2; it must be 0 or more"),
    ("demands.covers.short_cost", np.inf, f"demands.covers.short_cost[0] is inf; {RANGE}"),
    ("supplies.steps.count", -9, "supplies.steps.count[0] is -9; it must be a whole number from 0 to 1000000000"),
    ("supplies.steps.count", 10**9, "supplies[0].steps: the sum of their counts is 10000000"),
    ("supplies.steps.cost", -1e16, f"supplies.steps.cost[0] is -1e16; {RANGE}"),
    ("supplies.capacity.amount", -80.0, "supplies.capacity.amount[0] is -80; it must be 0 or more"),
    ("arcs.cost", -np.inf, f"arcs[0].cost is -inf; {RANGE}"),
    ("arcs.cost", 1e-70, "arcs[0].cost is 1e-70; write 0 for numbers smaller than 1e-60"),
    ("arcs.max", 10**12, "arcs[0].max is 1000000000000; it must be a whole number from 0 to 1000000000"),
    ("arcs.yields", -1.0, "arcs.yields[0] is -1; it must be 0 or more"),
    ("arcs.use.amount", np.nan, f"arcs[0].use[0] is NaN; {RANGE}"),
    ("limits.bound", -1.0, "limits.bound[0] is -1; it must be 0 or more"),
    ("limits.terms.coefficient", -0.1, "limits[1].terms[0][1] is -0.1; it must be 0 or more"),
    ("arcs.demand", 99, "arcs.demand[0] is 99, but the file has 4 demands, counted from 0; correct the index"),
    ("arcs.supply", -1, "arcs.supply[0] is -1, but the file has 3 supplies, counted from 0; correct the index"),
    ("arcs.use.resource", 7, "arcs.use.resource[0] is 7, but the file has 1 resources of its supply"),
    ("limits.terms.arc", 10**6, "limits.terms.arc[0] is 1000000, but the file has 16 arcs"),
    ("demands.covers_offsets", 1, "demands.covers_offsets must start at 0, never fall and end at 8"),
    ("arcs.use_offsets", 2**62, "arcs.use_offsets must start at 0, never fall and end at 21"),
]

WRONG = {
    "version": (swap("version", np.array(2)), "version must be 1, the only version of the problem file"),
    "a version in words": (swap("version", np.array("1")), "version must be"),
    "an index past 64 bits": (
        swap("arcs.demand", np.full(16, 2**64 - 1, np.uint64)),
        "arcs.demand[0] is 9223372036854775807, but the file has 4 demands",
    ),
    "an arc twice in a limit": (put("limits.terms.arc", 1, 0), "limits[1].terms name arc 0 twice; add the two"),
    "a resource twice in an arc": (twice, "arcs[0].use names resource 0 twice; add the two amounts"),
    "names out of order": (
        swap("supplies.capacity.name", np.array(["unit", "unit", "memory", "compute"])),
        'supplies.capacity.name has "memory" before "compute" in one supply; sort the names, each once',
    ),
    "names that are no texts": (
        swap("supplies.capacity.name", np.arange(4)),
        "supplies.capacity.name must be a one-dimensional array of texts",
    ),
}


def refusal(arrays: Flat) -> str:
    with pytest.raises(InvalidProblem) as caught:
        Prepared.of_mapping(arrays)
    return str(caught.value)


@pytest.mark.parametrize(("name", "value", "sentence"), OUT_OF_RANGE)
def test_a_number_out_of_range_is_named(name: str, value: float, sentence: str) -> None:
    assert refusal(put(name, 0, value)(whole())).startswith(sentence)


@pytest.mark.parametrize(("spoiling", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_what_contradicts_itself_is_refused(spoiling: Callable[[Flat], Flat], sentence: str) -> None:
    assert refusal(spoiling(whole())).startswith(sentence)


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if not entry.optional])
def test_an_array_of_another_shape_or_type_is_refused(name: str) -> None:
    arrays = whole()
    array = arrays.pop(name)
    assert refusal(arrays) == f"{name} is missing from the problem; docs/placement.md lists the arrays"
    for other in (np.zeros(len(array), bool), array.astype(object), array.reshape(1, -1)):
        assert refusal({**arrays, name: other}).startswith(f"{name} ")
    # An offset more at the end of the covers is one demand more, without covers.
    longer = [np.append(array, array[-1])] * (name != "demands.covers_offsets")
    for other in (array[:-1], *longer):
        found = refusal({**arrays, name: other})
        assert "needed; write one for each entry" in found or "must start at 0, never fall and end at" in found


def solved(arrays: Flat, terms: Terms = Terms(WORK, exact=False)) -> SolutionArrays:  # noqa: B008 -- frozen
    solution = prove(Prepared.of_mapping(arrays), terms).solution
    assert certify(arrays, solution.to_mapping())["faults"] == []
    return solution


def test_the_same_arrays_unspoiled_are_a_problem() -> None:
    assert solved(whole()).replicas.sum() > 0


def test_single_precision_and_any_integers_are_taken() -> None:
    types = {"f": np.float32, "i": np.int16}
    narrow = {name: array.astype(types.get(array.dtype.kind, array.dtype)) for name, array in whole().items()}
    types = {"f": np.float64, "i": np.int64}
    wide = {name: array.astype(types.get(array.dtype.kind, array.dtype)) for name, array in narrow.items()}
    one, other = solved(narrow), solved(wide)
    assert (one.objective, one.bound) == (other.objective, other.bound)
    assert np.array_equal(one.replicas, other.replicas)


def test_without_capacity_everything_is_short() -> None:
    arrays = whole()
    for nothing in (0.0, -0.0):
        solution = solved({**arrays, "supplies.capacity.amount": np.full(4, nothing)})
        assert solution.short == pytest.approx(arrays["demands.covers.quantity"])
        assert (solution.status, solution.replicas.sum()) == ("optimal", 0)


def test_without_arcs_everything_is_short() -> None:
    arrays = whole()
    of_arcs = [name for name in arrays if name.startswith(("arcs.", "limits.terms"))]
    empty = {name: arrays[name][:0] for name in of_arcs}
    starts = {"arcs.use_offsets": np.zeros(1, int), "limits.terms_offsets": np.zeros(4, int)}
    assert solved({**arrays, **empty, **starts}).short == pytest.approx(arrays["demands.covers.quantity"])


def test_counts_and_costs_as_large_as_they_may_be_are_solved() -> None:
    arrays = whole()
    largest = {
        "supplies.steps.count": np.full(8, 100_000_000),
        "arcs.max": np.full(16, 1_000_000_000),
        "demands.covers.quantity": np.full(8, 1e15),
        "demands.covers.short_cost": np.full(8, 1e15),
        "arcs.cost": np.tile([-1e15, 1e15], 8),
        "limits.bound": np.full(3, 1e15),
    }
    for name, array in largest.items():
        assert np.isfinite(solved({**arrays, name: array}).bound)
    assert np.isfinite(solved({**arrays, **largest}).bound)


def equal_demands(count: int) -> Flat:
    """Each wants one replica; there is room for three of five."""
    starts = np.arange(count + 1, dtype=np.uint32)
    none = {"limits.bound": np.zeros(0), "limits.terms_offsets": np.zeros(1, int)}
    return none | {
        "version": np.array(1),
        "demands.covers_offsets": starts,
        "demands.covers.quantity": np.ones(count),
        "demands.covers.short_cost": np.ones(count),
        "supplies.steps_offsets": np.array([0, 1]),
        "supplies.steps.count": np.array([3 * count // 10]),
        "supplies.steps.cost": np.array([0.1]),
        "supplies.capacity_offsets": np.array([0, 1]),
        "supplies.capacity.name": np.array(["unit"]),
        "supplies.capacity.amount": np.ones(1),
        "arcs.demand": starts[:-1],
        "arcs.supply": np.zeros(count, np.uint32),
        "arcs.cost": np.zeros(count, np.float32),
        "arcs.max": np.full(count, 3, np.uint32),
        "arcs.yields": np.ones(count, np.float32),
        "arcs.use_offsets": starts,
        "arcs.use.resource": np.zeros(count, np.uint8),
        "arcs.use.amount": np.full(count, 0.5, np.float32),
        "limits.terms.arc": np.zeros(0, np.uint32),
        "limits.terms.coefficient": np.zeros(0, np.float32),
    }


def test_equal_demands_share_what_there_is() -> None:
    solution = solved(equal_demands(50_000), Terms(exact=False))
    best = 0.1 * 15_000 + 20_000
    assert best - 1e-6 <= solution.objective <= 1.01 * best
    assert 0.95 * best <= solution.bound


def test_a_million_equal_demands_are_solved_within_the_time_given() -> None:
    assert solved(equal_demands(1_000_000), Terms(time_limit=1.0, exact=False)).status == "time_limit"


def parkade_solve(path: Path) -> subprocess.CompletedProcess[str]:
    program = "from parkade.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "solve", str(path)], capture_output=True, text=True, check=False
    )


def damages(content: bytes) -> dict[str, bytes]:
    middle = len(content) // 2
    return {
        "truncated": content[:middle],
        "without its end": content[:-40],
        "empty": b"",
        "another file": b'{"version": 1}',
        "a bit turned": content[:middle] + bytes([content[middle] ^ 64]) + content[middle + 1 :],
    }


@pytest.mark.parametrize("name", damages(b"\0" * 100))
def test_a_damaged_file_is_one_sentence_on_standard_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "problem.npz"
    flatten(contended(1)).to_npz(path)
    path.write_bytes(damages(path.read_bytes())[name])
    ran = parkade_solve(path)
    assert ran.returncode != 0
    assert "is damaged or no .npz file" in ran.stderr or "cannot be read: BadZipFile" in ran.stderr
    assert ran.stderr.count("\n") == 1
