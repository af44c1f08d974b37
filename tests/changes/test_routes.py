from dataclasses import replace

import pytest

from changes.scene import KEY, compare, part, plan, snapshot, workload
from parkade.changes import ApplyRoute, DeleteFront, Fronts, Gateway, diff
from parkade.changes.routes import route_steps
from parkade.errors import InvalidInput
from parkade.settings import Settings
from parkade.snapshot import RouteFace

EDGE = "infra/edge"
BY_PATH = Fronts(gateway=Gateway(EDGE))
MODEL = RouteFace(
    "HTTPRoute", "vision", "sign-reader", EDGE, (), ("PathPrefix /v2/models/sign-reader",), "sign-reader:8000"
)
SERVER = RouteFace(
    "HTTPRoute",
    "parkade-system",
    "parkade-router",
    EDGE,
    (),
    ("Exact /v2", "PathPrefix /v2/health"),
    "parkade-router:8000",
)
CALLS = RouteFace(
    "GRPCRoute", "parkade-system", "parkade-router", "infra/edge/grpc", (),
    ("Service inference.GRPCInferenceService",), "parkade-router:8001",
)  # fmt: skip


def steps(fronts, *routes, **facts):
    return route_steps(compare(snapshot(routes=routes, **facts), plan(part())), fronts)


def faces(fronts, *routes, **facts):
    return [step.face for step in steps(fronts, *routes, **facts) if isinstance(step, ApplyRoute)]


def test_a_workload_has_a_path_and_the_server_its_own():
    made = steps(BY_PATH)
    assert [(step.face, step.exists, step.workload and step.workload.key) for step in made] == [
        (SERVER, False, None),
        (MODEL, False, KEY),
    ]
    assert steps(BY_PATH, SERVER, MODEL) == ()
    assert [step.kind for step in diff(compare(snapshot(routes=()), plan()), BY_PATH)[0].fronts][-2:] == ["route"] * 2


def test_grpc_has_one_route_for_all_models():
    other = workload("vision/other", model="other")
    assert faces(Fronts(gateway=Gateway(grpc="infra/edge/grpc")), workloads=(other, workload())) == [CALLS]


def test_a_host_name_of_its_own_takes_the_servers_paths_too():
    named = Fronts(gateway=Gateway(EDGE, hostname="{name}.{namespace}.models.example"))
    (face,) = faces(named)
    assert face.hostnames == ("sign-reader.vision.models.example",)
    assert face.matches == MODEL.matches + SERVER.matches


def test_only_the_workload_that_has_the_name_has_the_route():
    rival = workload("vision/rival")
    assert [face.name for face in faces(BY_PATH, workloads=(workload(), rival))] == ["parkade-router", "sign-reader"]


@pytest.mark.parametrize("edited", [{"parent": "infra/other"}, {"matches": ()}, {"hostnames": ("x",)}, {"backend": ""}])
def test_an_edited_route_is_set_right(edited):
    (step,) = steps(BY_PATH, SERVER, replace(MODEL, **edited))
    assert (step.exists, step.face) == (True, MODEL)


def test_routes_go_with_the_setting_and_with_the_workload():
    gone = {DeleteFront(face.kind, face.namespace, face.name) for face in (CALLS, SERVER, MODEL)}
    assert set(steps(Fronts(), CALLS, SERVER, MODEL)) == gone
    leaving = workload(deleted=snapshot().now)
    assert steps(BY_PATH, SERVER, MODEL, workloads=(leaving,)) == (DeleteFront("HTTPRoute", "vision", "sign-reader"),)


def test_nothing_is_done_where_the_gateway_api_is_not_installed():
    assert route_steps(compare(snapshot(routes=None), plan()), BY_PATH) == ()


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PARKADE_GATEWAY": "edge"}, "namespace/name"),
        ({"PARKADE_GRPC_GATEWAY": "infra/edge/grpc/x"}, "namespace/name"),
        ({"PARKADE_GATEWAY_HOSTNAME": "{model}.example"}, "host name"),
        (
            {"PARKADE_GATEWAY": EDGE, "PARKADE_SERVICES": "false", "PARKADE_STATUS_URL": "Router"},
            "PARKADE_SERVICES=true",
        ),
    ],
)
def test_settings_that_cannot_be_meant(environment, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        Settings.from_environment(environment)
    assert Settings.from_environment({"PARKADE_GATEWAY": "infra/edge/http"}).gateway == "infra/edge/http"
