"""`kubectl parkade` by kubectl itself, against a real API server with a real operator."""

import json

import pytest

from handlers.world import CELL, SPACE, SYSTEM, eventually
from parkade.cluster.resources import CONFIG_MAPS, LEASES, NODES, WORKLOADS
from parkade.errors import InvalidInput

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


def asked(plugin, *words):
    """The document of a command."""
    return json.loads(plugin.here(*words, "-o", "json"))


def reasons(plugin, *words):
    return {problem["reason"] for problem in asked(plugin, "status", *words)["problems"]}


@pytest.mark.usefixtures("world")
def test_all_is_well_and_who_is_there_is_told(plugin):
    eventually(lambda: reasons(plugin) <= {"UnknownHardware"}, "nothing is wrong")
    found = asked(plugin, "status")
    assert found["operator"]["leader"] == "one"
    assert 0 <= found["operator"]["lastCycleSeconds"] < 60
    assert (found["routers"]["alive"], found["carlets"]["alive"]) == (["test"], ["c0"])
    assert (found["workloads"]["total"], found["workloads"]["ready"]) == (1, 1)
    assert found["vehiclePools"][0]["eligible"] == 4
    assert found["notShown"] == []
    shown = plugin("status")
    assert "one leads (term " in shown
    assert "\x1b" not in shown


@pytest.mark.usefixtures("world")
def test_top_explain_and_events_say_what_the_cluster_does(plugin):
    (row,) = asked(plugin, "top")["workloads"]
    assert (row["namespace"], row["name"], row["state"]) == (SPACE, "sign-reader", "ready")
    assert [place["place"] for place in row["places"]] == [CELL]
    assert f"{SPACE}/sign-reader" in plugin.here("top")
    found = asked(plugin, "explain", f"{SPACE}/sign-reader")
    (place,) = found["places"]
    assert (place["place"], place["reason"] in ("CheapestPlace", "OnlyPlace")) == (CELL, True)
    assert place["ordered"] == place["ready"] >= 1
    assert {entry["type"] for entry in found["conditions"]} == {"Placed", "Ready", "SLOMet", "FieldsHonoured"}
    assert CELL in plugin.here("explain", "-n", SPACE, "sign-reader")
    assert "Ready" in {event["reason"] for event in asked(plugin, "events", "sign-reader")["events"]}
    assert "workload vision/sign-reader: Ready" in plugin.here("events")


def test_a_plan_made_here_is_the_operator_s_and_one_with_manifests_says_what_they_would_change(plugin, world, tmp_path):
    here = asked(plugin, "plan")
    (row,) = here["workloads"]
    assert (row["change"], row["problems"]) == ("same", [])
    placed = world.workload()["status"]["placements"]
    assert [(it["place"], it["replicas"]) for it in row["planned"]] == [(it["place"], it["replicas"]) for it in placed]
    assert here["costPerHourPlanned"] == pytest.approx(here["costPerHourNow"], abs=1e-3)
    manifest = tmp_path / "more.json"
    more = world.sign_reader("plate-reader", placement={"minReplicas": 2}), world.sign_reader(suspend=True)
    manifest.write_text("\n---\n".join(map(json.dumps, more)))
    generation = world.workload()["metadata"]["generation"]
    found = asked(plugin, "plan", "-f", str(manifest))
    changes = {row["name"]: row["change"] for row in found["workloads"]}
    assert changes == {"plate-reader": "starts", "sign-reader": "stops"}
    assert found["applied"] == ["workload vision/plate-reader", "workload vision/sign-reader"]
    assert world.workload()["metadata"]["generation"] == generation
    assert "nothing was changed" in plugin("plan", f"{SPACE}/plate-reader", "-f", str(manifest))


@pytest.mark.usefixtures("world")
def test_a_name_that_is_not_there_is_refused_with_the_one_that_is(plugin):
    said = plugin("explain", "sign-reader", code=2)
    assert said == "error: there is no workload sign-reader in the namespace default; there is vision/sign-reader\n"
    with pytest.raises(InvalidInput, match="there is no cell and no pool named nowhere"):
        plugin.here("drain", "nowhere")


def test_a_pause_freezes_the_operator_until_it_is_resumed(world, plugin):
    assert "kubectl parkade resume ends it" in plugin("pause", "--because", "firmware roll-out")
    try:
        found = asked(plugin, "status")
        assert found["operator"]["paused"]
        assert "firmware roll-out" in next(it["says"] for it in found["problems"] if it["reason"] == "Paused")
        world.apply(world.sign_reader("while-paused"))
        cycles = world.operators[0].cycles()
        seen = asked(plugin, "status")["operator"]["lastCycleSeconds"]
        assert seen is not None
        assert not world.orders().get(f"{SPACE}/while-paused")
        assert world.operators[0].cycles() == cycles
    finally:
        plugin.here("resume")
    assert "Paused" not in reasons(plugin)
    settings = world.client.get(CONFIG_MAPS.path(SYSTEM, "parkade-settings"))
    assert settings["data"] == {"paused": "false"}
    assert "annotations" not in settings["metadata"]
    eventually(lambda: world.orders().get(f"{SPACE}/while-paused"), "the workload is placed after the pause")
    world.plane.kubectl("delete", "iw", "-n", SPACE, "while-paused", "--wait=false")


def test_one_workload_stops_only_if_that_is_meant(world, plugin):
    with pytest.raises(InvalidInput, match="add --stop-serving"):
        plugin.here("pause", f"{SPACE}/sign-reader")
    assert not world.workload()["spec"].get("suspend")
    plugin.here("pause", f"{SPACE}/sign-reader", "--stop-serving")
    eventually(lambda: world.condition("Ready") == ("False", "Suspended"), "it is suspended")
    assert asked(plugin, "status")["workloads"]["resting"] == 1
    plugin.here("resume", "-n", SPACE, "sign-reader")
    eventually(world.orders, "it is ordered again")
    world.act_as_carlet()
    eventually(lambda: world.condition("Ready")[0] == "True", "it serves again")


def test_a_drain_empties_a_cell_and_an_undrain_ends_it(world, plugin):
    eventually(world.pods, "the pod is there")
    said = asked(plugin, "drain", CELL, "--timeout", "60s")
    assert (said["cells"], said["emptied"]) == ([CELL], [CELL])
    assert world.client.get(NODES.path(name=CELL))["spec"]["unschedulable"]
    eventually(lambda: not world.orders(), "the cell is empty")
    plugin.here("undrain", "ca-home")
    assert not world.client.get(NODES.path(name=CELL))["spec"].get("unschedulable")
    eventually(world.orders, "the cell is used again")
    world.act_as_carlet()


@pytest.mark.usefixtures("world")
def test_kubectl_completes_names_from_the_cluster(plugin):
    def completed(*words):
        return plugin.run("__complete", "parkade", *words).splitlines()

    assert "sign-reader\tworkload" in completed("explain", "-n", SPACE, "si")
    assert {f"{CELL}\tcell", "ca-home\tvehicle pool"} <= set(completed("drain", "ca-"))
    assert {line.split("\t")[0] for line in completed("")} >= {"status", "top", "explain", "events", "pause", "drain"}


@pytest.mark.usefixtures("world")
def test_colours_are_for_terminals(plugin):
    assert "\x1b[" in plugin.on_a_terminal("status")
    assert "\x1b[" not in plugin.on_a_terminal("status", NO_COLOR="1")
    live = plugin.on_a_terminal("top", "--times", "2", "--every", "1s")
    assert live.count("WORKLOAD") == 2
    assert live.count("\x1b[H") == 2


def test_kubectl_waits_until_any_kind_is_ready(world):
    for thing in (f"iw/sign-reader -n {SPACE}", "vnp/ca-home", "rg/us-ca"):
        world.plane.kubectl("wait", *thing.split(), "--for=condition=Ready", "--timeout=60s")
    spec = {"regions": ["us-ca"], "start": "2031-01-01T00:00:00Z", "end": "2031-01-01T01:00:00Z"}
    event = {"apiVersion": "parkade.dev/v1alpha1", "kind": "GridEvent", "metadata": {"name": "evening"}}
    world.apply(event | {"spec": spec | {"reduce": {"targetKW": 5}}})
    world.plane.kubectl("wait", "ge/evening", "--for=condition=Ready=False", "--timeout=60s")  # not acted on yet
    world.plane.kubectl("delete", "ge/evening")


def test_get_wide_shows_what_one_looks_for(world):
    head, row = world.plane.kubectl("get", "iw", "-n", SPACE, "sign-reader", "-o", "wide").splitlines()
    wanted = ("READY", "SLOMET", "REPLICAS", "PLACE", "WHY", "P99", "$/H", "RATE/S", "SEEN P99", "FAILED", "URL")
    assert [title for title in wanted if title not in head] == []
    assert CELL in row
    assert " READY " in world.plane.kubectl("get", "vnp", "ca-home")


def test_scale_and_a_real_autoscaler_set_the_least_and_the_planner_keeps_to_it(world):
    def scaled():
        return world.client.get(f"{WORKLOADS.path(SPACE, 'sign-reader')}/scale")

    world.plane.kubectl("scale", "-n", SPACE, "iw/sign-reader", "--replicas=2")
    eventually(lambda: world.orders() == {f"{SPACE}/sign-reader": 2}, "two are ordered")
    world.act_as_carlet()
    eventually(lambda: scaled()["status"].get("replicas") == 2, "two are ready")
    assert scaled()["status"]["selector"] == "parkade.dev/workload=sign-reader"
    target = {"apiVersion": WORKLOADS.api, "kind": WORKLOADS.kind, "name": "sign-reader"}
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "sign-reader", "namespace": SPACE},
        "spec": {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 4},
    }
    world.apply(autoscaler)
    eventually(lambda: world.orders() == {f"{SPACE}/sign-reader": 3}, "the autoscaler's least is ordered", 90)
    world.act_as_carlet()
    eventually(lambda: scaled()["status"].get("replicas") == 3, "three are ready")
    generation, cycles = world.workload()["metadata"]["generation"], world.operators[0].cycles()
    eventually(lambda: world.operators[0].cycles() >= cycles + 2, "the planner looked at it again")
    assert scaled()["spec"]["replicas"] == 3
    assert world.workload()["metadata"]["generation"] == generation
    owners = {
        entry["manager"]
        for entry in world.workload()["metadata"]["managedFields"]
        if "f:minReplicas" in json.dumps(entry)
    }
    assert "parkade-operator" not in owners
    world.plane.kubectl("delete", "hpa", "-n", SPACE, "sign-reader")
    world.plane.kubectl("scale", "-n", SPACE, "iw/sign-reader", "--replicas=1")
    eventually(lambda: world.orders() == {f"{SPACE}/sign-reader": 1}, "one is ordered again")
    world.act_as_carlet()


def test_what_the_leader_says_of_its_cycles_is_in_its_lease(world):
    def ended():
        found = world.client.get(LEASES.path(SYSTEM, "parkade-operator"))
        return found["metadata"]["annotations"]["parkade.dev/last-cycle"]

    first = ended()
    eventually(lambda: ended() > first, "a later cycle is told")


def test_no_api_server_and_no_login_are_one_sentence(plugin, tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n"
    )
    said = plugin("status", "--kubeconfig", str(kubeconfig), code=1)
    assert said.startswith("error: https://127.0.0.1:1 does not answer")
    assert said.count("\n") == 1
    said = plugin("status", "--context", "nowhere", code=1)
    assert "nowhere" in said
    assert said.count("\n") == 1
    assert plugin.run("__complete", "parkade", "explain", "", KUBECONFIG=str(kubeconfig)).splitlines()[0] == ":4"


def test_a_cluster_without_parkade_is_told_so(plugin, plane, tmp_path):
    # the API server answers a kind that it does not know as it answers any path that it does not
    text = plane.kubeconfig.read_text().replace(plane.control.server, f"{plane.control.server}/other-cluster")
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(text)
    said = plugin("status", "--kubeconfig", str(kubeconfig), code=1)
    assert said.startswith(f"error: Parkade is not installed in {plane.control.server}/other-cluster: ")
    assert "install the chart" in said
