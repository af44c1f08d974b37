from changes.scene import CELL, KEY, cell, compare, plan, snapshot, to_cell
from parkade.changes.cells import cell_steps
from parkade.changes.faces import pod_steps
from parkade.snapshot import PodFace

POD = PodFace("vision", f"sign-reader-{CELL}", KEY, CELL, terminating=False)


def pods(comparison):
    made, gone = pod_steps(comparison, cell_steps(comparison))
    return [(step.workload.key, step.cell) for step in made], [step.name for step in gone]


def test_an_order_gets_a_face_in_the_same_cycle():
    assert pods(to_cell(3)) == ([(KEY, CELL)], [])


def test_a_face_that_is_there_is_left_alone():
    assert pods(to_cell(3, pods=(POD,))) == ([], [])


def test_a_face_without_an_order_goes():
    assert pods(compare(snapshot(pods=(POD,)), plan())) == ([], [POD.name])


def test_a_terminating_face_is_awaited():
    leaving = PodFace("vision", POD.name, KEY, CELL, terminating=True)
    assert pods(to_cell(3, pods=(leaving,))) == ([], [])
    assert pods(compare(snapshot(pods=(leaving,)), plan())) == ([], [])


def test_a_cordoned_cell_gets_no_face():
    assert pods(to_cell(3, cordoned_cells=frozenset({CELL}))) == ([], [])


def test_faces_of_a_workload_that_cannot_be_read_stay():
    seen = snapshot(workloads=(), pods=(POD,), unreadable=frozenset({KEY}))
    assert pods(compare(seen, plan())) == ([], [])


def test_a_face_whose_cell_is_gone_goes():
    assert pods(compare(snapshot(cells=(), pods=(POD,)), plan())) == ([], [POD.name])


def test_a_face_lost_with_its_order_intact_comes_back():
    assert pods(to_cell(3, cells=(cell(replicas=3, ready=3),))) == ([(KEY, CELL)], [])
