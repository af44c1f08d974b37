"""Places outside of a workload's jurisdictions get no request, whatever the plan says."""

import numpy as np
import pytest

import plain
from router.peers import Router, cell, grpc_caller, http_caller, values, workload
from router.places import CELL, MODEL, WORKLOAD, Datacenter, Fleet, until

ONLY_US = {"placement": {"jurisdictions": ["US"]}}


def test_a_place_elsewhere_is_not_used(router: Router, fleet: Fleet, datacenter: Datacenter) -> None:
    abroad = datacenter.placement(share=90) | {"place": "frankfurt", "jurisdiction": "DE"}
    router.planned(cell(10) | {"jurisdiction": "US"}, abroad, **ONLY_US)
    fleet.joined("a")
    with http_caller(router) as http, grpc_caller(router) as grpc:
        for _ in range(5):
            np.testing.assert_array_equal(http.double(values()), values() * 2)
            np.testing.assert_array_equal(grpc.double(values()), values() * 2)
    assert datacenter.app.requests == 0
    assert router.metric("places_barred", workload=WORKLOAD) == 1
    assert "jurisdictions: frankfurt" in (router.folder / "router.log").read_text()


@pytest.mark.parametrize("told", [{"jurisdiction": "DE"}, {"jurisdiction": ""}, {}])
def test_without_a_place_inside_there_is_no_answer(router: Router, fleet: Fleet, told: dict[str, str]) -> None:
    router.planned(cell() | told, **ONLY_US)
    answer = fleet.car("a").answer_to_offer()
    assert b" 403 " in answer.splitlines()[0]
    assert f"may not be served in the jurisdiction of cell {CELL}".encode() in answer
    assert router.metric("cars_refused_total", reason="jurisdiction") == 1
    assert plain.get(f"http://{router.http}/v2/models/{MODEL}/ready").status_code == 400


def test_a_manifest_that_narrows_holds_before_the_plan_follows(
    router: Router, fleet: Fleet, datacenter: Datacenter
) -> None:
    places = (cell() | {"jurisdiction": "DE"}, datacenter.placement() | {"jurisdiction": "US"})
    router.planned(*places)
    (car,) = fleet.joined("a")
    with http_caller(router) as http:
        http.double(values())
        assert car.app.requests == 1
        car.stays = False
        router.plan(workload(*places, **ONLY_US))
        until(car.offer.closed.done)
        http.double(values())
    assert (car.app.requests, datacenter.app.requests) == (1, 1)
