"""The Job that makes certificates and keys, run as the pod would be, under the account that the chart gives it."""

import base64
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from charts.accounts import as_account, grant
from charts.conftest import Render
from charts.manifests import one, pods
from parkade.errors import LocalPlaneError
from parkade.local import binaries, ports
from parkade.local.plane import Plane
from parkade.local.processes import LaunchSpec

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

NAMES = ("--set", "router.carsAdvertise=cars.example:443", "--set-json", 'secrets.names=["203.0.113.7"]')


def entries(plane: Plane, name: str) -> dict[str, bytes]:
    found = yaml.safe_load(plane.kubectl("get", "secret", name, "--namespace=parkade-system", "-o", "yaml"))
    return {key: base64.b64decode(value) for key, value in found["data"].items()}


def run_job(plane: Plane, rendered: str, directory: Path) -> list[str]:
    grant(plane, rendered)
    kubeconfig = as_account(plane, "parkade-secrets", directory / "kubeconfig")
    (container,) = one(rendered, "Job", "parkade-secrets")["spec"]["template"]["spec"]["containers"]
    command = [binaries.carlet(print), *container["args"], f"--kubeconfig={kubeconfig}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_pods_find_what_they_mount_and_a_second_run_changes_nothing(
    render: Render, plane: Plane, tmp_path: Path
) -> None:
    rendered = render(*NAMES)
    made = run_job(plane, rendered, tmp_path)
    assert sorted(line.split()[1] for line in made) == ["parkade-ca", "parkade-fleet", "parkade-tls"]
    for name, pod in pods(rendered):
        for secret in (volume["secret"] for volume in pod["volumes"] if "secret" in volume):
            assert {item["key"] for item in secret.get("items", ())} <= entries(plane, secret["secretName"]).keys(), (
                name
            )
    mounted = {
        item["key"]
        for _, pod in pods(rendered)
        for volume in pod["volumes"]
        for item in volume.get("secret", {}).get("items", ())
    }
    assert not mounted & {"operator.seed", "account.seed", "system.seed", "ca.key"}, "a pod could end rights"
    assert "parkade-ca" not in yaml.safe_dump([pod for _, pod in pods(rendered)]), "a pod has the CA's key"

    certificate = x509.load_pem_x509_certificate(entries(plane, "parkade-tls")["tls.crt"])
    names = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    assert isinstance(names, x509.SubjectAlternativeName)
    hosts = set(names.get_values_for_type(x509.DNSName))
    assert {"carlet.parkade-system.svc", "parkade-nats.parkade-system.svc", "cars.example", "localhost"} <= hosts
    assert "203.0.113.7" in {str(it) for it in names.get_values_for_type(x509.IPAddress)}
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["parkade://router/parkade"]

    assert run_job(plane, rendered, tmp_path) == []
    assert run_job(plane, render(*NAMES, "--set", "nats.mqttPort=1883"), tmp_path) == [
        "Secret parkade-fleet in namespace parkade-system was changed"
    ]


def test_nats_starts_with_it_and_a_token_is_made_with_what_carlet_mounts(
    render: Render, plane: Plane, tmp_path: Path
) -> None:
    """The directories of the pod are put where this machine has room; nothing else of the configuration is touched."""
    rendered = render()
    run_job(plane, rendered, tmp_path)
    run_job(plane, rendered, tmp_path)  # another port of MQTT may be in it
    for name, secret in (("tls", "parkade-tls"), ("fleet", "parkade-fleet")):
        folder = tmp_path / name
        folder.mkdir()
        (carlet,) = (pod for component, pod in pods(rendered) if component == "carlet")
        (volume,) = (it["secret"] for it in carlet["volumes"] if it["name"] == name)
        wanted = {it["key"] for it in volume.get("items", ())} or entries(plane, secret).keys()
        for key in wanted:
            (folder / key).write_bytes(entries(plane, secret)[key])
    port = ports.choose(1)[0]
    text = entries(plane, "parkade-fleet")["nats.conf"].decode()
    for here, there in (
        ("/etc/parkade/tls", tmp_path / "tls"),
        ("/data", tmp_path / "data"),
        ("port: 4222", f"port: {port}"),
    ):
        assert here in text
        text = text.replace(here, str(there))
    (tmp_path / "nats.conf").write_text(text)
    server = binaries.upstream("nats-server", print)
    plane.ensure("nats-of-the-chart", LaunchSpec((str(server), "-c", str(tmp_path / "nats.conf"))))
    flags = [
        f"--dir={tmp_path / 'fleet'}",
        f"--nats=tls://127.0.0.1:{port}",
        f"--nats-ca={tmp_path / 'tls' / 'ca.crt'}",
    ]

    def a_token_is_made() -> bool:
        with suppress(LocalPlaneError):  # the server is about to listen
            return plane.carlet("fleet", "token", *flags, "--fleet=owners-ca").startswith("pkt_")
        return False

    try:
        plane.await_condition("nats-of-the-chart", a_token_is_made, "let a token be made")
    finally:
        plane.processes.stop("nats-of-the-chart")


def test_it_may_touch_no_other_secret(render: Render, plane: Plane, tmp_path: Path) -> None:
    grant(plane, render())
    kubeconfig = as_account(plane, "parkade-secrets", tmp_path / "kubeconfig")
    for question, answer in (
        ("get secrets/parkade-tls -n parkade-system", "yes"),
        ("get secrets/somebody-elses -n parkade-system", "no"),
        ("update secrets/somebody-elses -n parkade-system", "no"),
        ("list secrets -n parkade-system", "no"),
        ("delete secrets/parkade-tls -n parkade-system", "no"),
        ("get secrets/parkade-tls -n default", "no"),
        ("get pods -n parkade-system", "no"),
    ):
        command = ["kubectl", "--kubeconfig", str(kubeconfig), "auth", "can-i", *question.split()]
        assert subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == answer, question
