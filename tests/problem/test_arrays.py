"""The `.npz` problem file: both ways without loss, and a sentence for each way in which it can be wrong."""

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from parkade.errors import InvalidProblem
from parkade.problem.arrays import ENTRIES, ProblemArrays
from parkade.problem.flattening import flatten, unflatten
from parkade.problem.format import Arc, Problem
from strategies import contended, problems


def npz(mapping) -> io.BytesIO:
    file = io.BytesIO()
    np.savez(file, **mapping)
    file.seek(0)
    return file


@given(problems())
def test_a_problem_survives_the_way_to_arrays_and_back(problem):
    assert unflatten(flatten(problem)).to_json() == problem.to_json()


@given(problems())
def test_a_problem_survives_the_file(problem):
    file = io.BytesIO()
    flatten(problem).to_npz(file)
    file.seek(0)
    assert unflatten(ProblemArrays.from_npz(file)).to_json() == problem.to_json()


def test_equal_problems_are_equal_bytes(tmp_path):
    paths = [tmp_path / "one.npz", tmp_path / "other"]
    for path in paths:
        flatten(contended(3)).to_npz(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_narrow_types_and_missing_ids_are_the_same_problem():
    problem = contended(5)
    wide = flatten(problem).to_mapping()
    narrow = {name: array.astype(np.uint16) if array.dtype.kind == "i" and array.ndim else array
              for name, array in wide.items() if not name.endswith("id")}  # fmt: skip
    found = ProblemArrays.from_mapping(narrow | {"arcs.yields_offsets": flatten(problem).yields_offsets})
    assert np.array_equal(found.yields_offsets, flatten(problem).yields_offsets)
    bare = unflatten(found)
    assert [demand.id for demand in bare.demands] == [str(at) for at in range(len(problem.demands))]
    assert [cover.id for cover in bare.demands[0].covers] == [str(at) for at in range(len(problem.demands[0].covers))]
    named = [replace(arc, id=own.id) for arc, own in zip(bare.arcs, problem.arcs, strict=True)]
    assert named == list(problem.arcs)


def test_a_problem_without_anything_is_one():
    assert unflatten(flatten(Problem((), (), (), ()))) == Problem((), (), (), ())


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_each_entry_is_checked_for_its_type_and_shape(name):
    whole = flatten(contended(1)).to_mapping()
    whole["arcs.yields_offsets"] = flatten(contended(1)).yields_offsets
    for spoiled, words in (
        (np.zeros(len(whole[name]), dtype=bool), "has the type bool"),
        (whole[name].reshape(1, -1), "2 dimensions"),
        (whole[name][:-1], "has|ends with|ask for"),
    ):
        with pytest.raises(InvalidProblem, match=words):
            ProblemArrays.from_mapping(whole | {name: spoiled})
    del whole[name]
    if ENTRIES[name].optional:
        ProblemArrays.from_mapping(whole)
    else:
        with pytest.raises(InvalidProblem, match=f"^{name} is missing from the problem"):
            ProblemArrays.from_mapping(whole)


@pytest.mark.parametrize(
    ("name", "at", "value", "sentence"),
    [
        ("arcs.demand", 4, 99, r"arcs\.demand\[4\] is 99, but there are \d+ demands"),
        ("arcs.demand", 4, -1, r"arcs\.demand\[4\] is -1, but"),
        ("arcs.supply", 0, 99, r"arcs\.supply\[0\] is 99, but there are \d+ supplies"),
        ("arcs.use.resource", 2, 7, r"arcs\.use\.resource\[2\] is 7, but there are \d resources of its supply"),
        ("limits.terms.arc", 1, 10**6, r"limits\.terms\.arc\[1\] is 1000000, but there are \d+ arcs"),
        ("demands.covers_offsets", 0, 1, r"demands\.covers_offsets must begin with 0"),
        ("supplies.steps_offsets", 1, -1, r"supplies\.steps_offsets\[1\] is below the offset before it"),
        ("arcs.use_offsets", -1, 1000, r"arcs\.use_offsets ends with 1000 where the rows end at"),
        ("arcs.yields_offsets", 3, 0, r"arcs\.yields_offsets\[3\] is not where the yields of that arc begin"),
        ("supplies.capacity.name", 2, "zebra", r"supplies\.capacity\.name\[3\] is not after the name before it"),
    ],
)
def test_a_wrong_number_is_named_by_its_place(name, at, value, sentence):
    arrays = flatten(contended(1))
    whole = arrays.to_mapping() | {"arcs.yields_offsets": arrays.yields_offsets}
    spoiled = whole[name].copy()
    spoiled[at] = value
    with pytest.raises(InvalidProblem, match=sentence):
        ProblemArrays.from_mapping(whole | {name: spoiled})


def test_yields_must_be_as_many_as_the_covers_ask_for():
    whole = flatten(contended(1)).to_mapping()
    with pytest.raises(InvalidProblem, match=r"arcs\.yields has \d+ entries; the covers of the arcs' demands"):
        ProblemArrays.from_mapping(whole | {"arcs.yields": whole["arcs.yields"][1:]})


@pytest.mark.parametrize("version", [np.array(2), np.array("1"), np.array([1]), np.array(1.0)])
def test_another_version_is_refused(version):
    with pytest.raises(InvalidProblem, match=r"^version must be 1"):
        ProblemArrays.from_mapping(flatten(contended(1)).to_mapping() | {"version": version})


def test_an_unknown_entry_is_refused():
    with pytest.raises(InvalidProblem, match=r"^arcs\.colour is not an entry"):
        ProblemArrays.from_mapping(flatten(contended(1)).to_mapping() | {"arcs.colour": np.zeros(3)})


def test_every_truncation_of_the_file_is_refused():
    file = io.BytesIO()
    flatten(contended(2)).to_npz(file)
    whole = file.getvalue()
    for end in range(0, len(whole), 97):
        with pytest.raises(InvalidProblem):
            ProblemArrays.from_npz(io.BytesIO(whole[:end]))


@pytest.mark.parametrize("content", [b"", b"not a problem", b"\x93NUMPY\x01\x00", npz({"version": np.array(1)}).read()])
def test_what_is_no_problem_file_is_refused(tmp_path, content):
    path = tmp_path / "problem.npz"
    path.write_bytes(content)
    with pytest.raises(InvalidProblem):
        ProblemArrays.from_npz(path)
    with pytest.raises(InvalidProblem, match=r"nowhere\.npz cannot be read: No such file"):
        ProblemArrays.from_npz(tmp_path / "nowhere.npz")


def test_an_array_with_objects_is_not_unpickled():
    objects = npz({"version": np.array(1), "demands.id": np.array([{}], dtype=object)})
    with pytest.raises(InvalidProblem, match=r"damaged or no .npz file"):
        ProblemArrays.from_npz(objects)


@pytest.mark.parametrize(
    ("arc", "sentence"),
    [
        (Arc("", 99, 0, (), 0.0, {}, 1), r"arcs\[0\]\.demand is 99"),
        (Arc("", 0, -1, (), 0.0, {}, 1), r"arcs\[0\]\.supply is -1"),
        (Arc("", 0, 0, (), 0.0, {}, 1), r"arcs\[0\]\.yields has 0 numbers; demand 0 has \d covers"),
    ],
)
def test_a_problem_that_has_no_arrays_is_refused(arc, sentence):
    with pytest.raises(InvalidProblem, match=sentence):
        flatten(replace(contended(1), arcs=(arc,)))


def test_a_resource_that_the_supply_lacks_is_refused():
    problem = contended(1)
    wrong = replace(problem.arcs[0], use={"sunshine": 1.0})
    with pytest.raises(InvalidProblem, match=r"arcs\[0\]\.use\.sunshine is no resource of supply 0"):
        flatten(replace(problem, arcs=(wrong,)))
