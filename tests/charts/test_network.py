"""Who may reach whom by the chart's NetworkPolicies; no plugin enforces them here, so they are read as one would."""

from typing import Any

import pytest

from charts.conftest import Render
from charts.manifests import objects, one

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

EGRESS = ("--set", "networkPolicies.egress.enabled=true")


def ports_of(rendered: str) -> dict[str, set[str]]:
    """Names of the ports of each component's containers."""
    workloads = (it for it in objects(rendered) if it["kind"] in ("Deployment", "StatefulSet"))
    return {
        it["metadata"]["name"]: {
            port["name"] for container in it["spec"]["template"]["spec"]["containers"] for port in container["ports"]
        }
        for it in workloads
    }


def rules(rendered: str, component: str, way: str) -> dict[str, list[Any] | None]:
    """By port: who may use it; None is anybody."""
    found: dict[str, list[Any] | None] = {}
    for rule in one(rendered, "NetworkPolicy", component)["spec"][way]:
        for port in rule["ports"]:
            found[str(port["port"])] = rule.get("from" if way == "ingress" else "to")
    return found


def test_each_port_is_open_to_those_who_need_it(render: Render) -> None:
    rendered = render("--set", "nats.mqttPort=1883")
    router, operator = (
        {"podSelector": one(rendered, "Deployment", name)["spec"]["selector"]}
        for name in ("parkade-router", "parkade-operator")
    )
    everywhere = {"namespaceSelector": {}}
    assert rules(rendered, "parkade-router", "ingress") == {
        "http": None, "grpc": None, "cars": None, "peers": [router], "metrics": [everywhere, operator],
    }  # fmt: skip
    assert rules(rendered, "carlet", "ingress") == {"models": None, "kubelet": None, "metrics": [everywhere]}
    assert rules(rendered, "parkade-operator", "ingress") == {"metrics": [everywhere]}
    assert rules(rendered, "parkade-nats", "ingress") == {"nats": None, "mqtt": None}


def test_every_rule_names_a_port_that_a_pod_has(render: Render) -> None:
    rendered = render("--set", "nats.mqttPort=1883")
    for component, ports in ports_of(rendered).items():
        assert rules(rendered, component, "ingress").keys() <= ports
    unreached = {"health", "monitor"}  # probes come from the node, which a policy never keeps out
    assert {
        port for name, ports in ports_of(rendered).items() for port in ports - rules(rendered, name, "ingress").keys()
    } == unreached


def test_nobody_reads_metrics_where_nobody_is_named(render: Render) -> None:
    """An empty list of peers would mean everybody."""
    rendered = render("--set-json", "networkPolicies.metricsFrom=[]")
    assert one(rendered, "NetworkPolicy", "parkade-operator")["spec"]["ingress"] == []
    assert "metrics" not in rules(rendered, "carlet", "ingress")
    assert len(rules(rendered, "parkade-router", "ingress")["metrics"] or ()) == 1


def test_what_our_pods_may_reach_is_bounded_only_on_request(render: Render) -> None:
    policies = [it for it in objects(render()) if it["kind"] == "NetworkPolicy"]
    assert all(it["spec"]["policyTypes"] == ["Ingress"] and "egress" not in it["spec"] for it in policies)
    triton = (
        'networkPolicies.egress.operator=[{"ports": [{"port": 8001}], "to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]'
    )
    rendered = render(*EGRESS, "--set-json", triton)
    assert one(rendered, "NetworkPolicy", "parkade-nats")["spec"]["egress"] == []
    reach = rules(rendered, "parkade-operator", "egress")
    assert reach.keys() == {"53", "443", "6443", "metrics", "8001"}
    assert reach["8001"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    assert rules(rendered, "carlet", "egress").keys() == {"53", "443", "6443", "nats"}
    assert rules(rendered, "parkade-router", "egress").keys() == {"53", "443", "6443", "peers"}


def test_a_link_elsewhere_has_no_policy(render: Render) -> None:
    elsewhere = ("--set", "nats.enabled=false", "--set", "nats.url=tls://nats.example:4222")
    assert "parkade-nats" not in {
        it["metadata"]["name"] for it in objects(render(*elsewhere)) if it["kind"] == "NetworkPolicy"
    }
