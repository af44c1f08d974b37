from dataclasses import replace

import pytest

from changes.scene import KEY, ROUTER, compare, plan, snapshot, workload
from parkade.changes import ApplyService, ApplySlice, DeleteFront, Fronts, diff, unreachable
from parkade.changes.fronts import PORTS, TRAFFIC, front_steps
from parkade.errors import InvalidInput
from parkade.settings import Settings
from parkade.snapshot import Endpoint, RouterAddress, ServiceFace, SliceFace

SERVICE = ServiceFace(KEY, PORTS, TRAFFIC)
A = RouterAddress("a", "10.1.2.3:80", "10.1.2.3:81", "10.1.2.3:82", "us-ca-a")
B = RouterAddress("b", "10.1.2.4:80", "10.1.2.4:81", "10.1.2.4:82")
SLICE = SliceFace(KEY, "sign-reader-ipv4-80-81", "IPv4", 80, 81, (Endpoint("10.1.2.3", "us-ca-a", "us-ca-a"),))


DEFAULT = Fronts()


def steps(fronts=DEFAULT, **facts):
    return front_steps(compare(snapshot(**facts), plan()), fronts)


def slices(**facts):
    return [step.face for step in steps(services=(SERVICE,), **facts) if isinstance(step, ApplySlice)]


def test_a_workload_gets_a_service_with_the_routers_behind_it():
    service, piece = steps(routers=(A,))
    assert (service.exists, service.face) == (False, SERVICE)
    assert piece.face == SLICE
    assert (service.workload.key, piece.workload.key) == (KEY, KEY)
    assert steps(routers=(A,), services=(SERVICE,), slices=(SLICE,)) == ()


def test_the_steps_are_among_those_of_a_cycle_and_not_of_an_observer():
    seen = compare(snapshot(routers=(A,)), plan())
    assert [s.kind for s in diff(seen, Fronts())[0].fronts] == ["service", "slice"]
    watcher = compare(snapshot(routers=(A,), mode="Observe"), plan())
    assert diff(watcher, Fronts())[0].fronts == ()


@pytest.mark.parametrize(
    "edited",
    [
        replace(SERVICE, ports=SERVICE.ports[:1]),
        replace(SERVICE, ports=(replace(SERVICE.ports[0], port=9000), SERVICE.ports[1])),
        replace(SERVICE, traffic=""),
        replace(SERVICE, selects=True),
    ],
)
def test_an_edited_service_is_set_right(edited):
    (step,) = steps(routers=(A,), services=(edited,), slices=(SLICE,))
    assert isinstance(step, ApplyService)
    assert (step.exists, step.face) == (True, SERVICE)


@pytest.mark.parametrize(
    "edited",
    [
        replace(SLICE, endpoints=()),
        replace(SLICE, endpoints=(replace(SLICE.endpoints[0], ready=False),)),
        replace(SLICE, endpoints=(replace(SLICE.endpoints[0], hint="us-ca-b"),)),
        replace(SLICE, grpc=82),
        replace(SLICE, sound=False),
    ],
)
def test_an_edited_slice_is_set_right(edited):
    assert slices(routers=(A,), slices=(edited,)) == [SLICE]


def test_routers_share_a_slice_by_family_and_ports():
    v6 = RouterAddress("c", "[fd00::1]:80", "[fd00::1]:81", "")
    other = RouterAddress("d", "10.1.2.5:90", "10.1.2.5:91", "")
    found = slices(routers=(A, B, v6, other))
    assert [(face.name, [row.address for row in face.endpoints]) for face in found] == [
        ("sign-reader-ipv4-80-81", ["10.1.2.3", "10.1.2.4"]),
        ("sign-reader-ipv4-90-91", ["10.1.2.5"]),
        ("sign-reader-ipv6-80-81", ["fd00::1"]),
    ]


def test_a_slice_that_names_nobody_goes_after_the_new_one_came():
    old = replace(SLICE, name="sign-reader-ipv4-70-71", http=70, grpc=71)
    new, gone = steps(routers=(A,), services=(SERVICE,), slices=(old,))
    assert new.face == SLICE
    assert gone == DeleteFront("EndpointSlice", "vision", old.name)


def test_a_router_that_left_is_taken_out_and_those_that_fell_silent_together_stay():
    assert steps(routers=(), services=(SERVICE,), slices=(SLICE,)) == (
        DeleteFront("EndpointSlice", "vision", SLICE.name),
    )
    assert steps(routers=(), silent_routers=(A,), services=(SERVICE,), slices=(SLICE,)) == ()
    both = replace(SLICE, endpoints=(*SLICE.endpoints, Endpoint("10.1.2.4")))
    assert slices(routers=(A,), silent_routers=(B,), slices=(both,)) == [SLICE]


def test_a_deleted_workload_gets_nothing_and_keeps_what_its_owner_takes_along():
    leaving = workload(deleted=snapshot().now)
    assert steps(routers=(A,), workloads=(leaving,)) == ()
    assert steps(routers=(A,), workloads=(leaving,), services=(SERVICE,)) == ()


def test_a_site_without_services_has_none():
    off = Fronts("Router", services=False)
    assert steps(off, routers=(A,)) == ()
    assert steps(off, routers=(A,), services=(SERVICE,), slices=(SLICE,)) == (
        DeleteFront("EndpointSlice", "vision", SLICE.name),
        DeleteFront("Service", "vision", "sign-reader"),
    )


def test_routers_on_loopback_are_behind_no_service():
    assert [step.kind for step in steps(routers=(ROUTER,))] == ["service"]


@pytest.mark.parametrize(
    ("http", "grpc", "says"),
    [
        ("10.0.0.1:80", "10.0.0.1:81", ""),
        ("[fd00::1]:80", "[fd00::1]:81", ""),
        ("127.0.0.1:80", "127.0.0.1:81", "other machines cannot reach"),
        ("[::1]:80", "[::1]:81", "other machines cannot reach"),
        ("169.254.1.1:80", "169.254.1.1:81", "other machines cannot reach"),
        ("0.0.0.0:80", "0.0.0.0:81", "other machines cannot reach"),
        ("router.example:80", "router.example:81", "no IP address"),
        ("10.0.0.1:80", "10.0.0.2:81", "of one host"),
        ("10.0.0.1:80", "", "nowhere for gRPC"),
        ("10.0.0.1:99999", "10.0.0.1:81", "of one host"),
    ],
)
def test_why_no_slice_can_name_a_router(http, grpc, says):
    problem = unreachable(RouterAddress("r", http, grpc, ""))
    assert says in problem
    assert bool(says) is bool(problem)
    assert not problem or "--advertise-http" in problem


def test_no_services_need_another_address_in_status():
    chosen = Settings.from_environment({"PARKADE_SERVICES": "false", "PARKADE_STATUS_URL": "Router"})
    assert (chosen.services, Settings.from_environment({"PARKADE_SERVICES": "True"}).services) == (False, True)
    with pytest.raises(InvalidInput, match="PARKADE_STATUS_URL=Router"):
        Settings.from_environment({"PARKADE_SERVICES": "false"})
    with pytest.raises(InvalidInput, match="neither true nor false"):
        Settings.from_environment({"PARKADE_SERVICES": "no"})
