"""One directory, one plane: control plane, fleet link and Parkade's processes, started in order and awaited."""

import json
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Final

import httpx

from parkade.errors import LocalPlaneError
from parkade.local import binaries, ports
from parkade.local.binaries import Say
from parkade.local.controlplane import ControlPlane, write_kubeconfig
from parkade.local.paths import source_root
from parkade.local.pki import Authority, KeyPair
from parkade.local.processes import LaunchSpec, ProcessTable

PORTS: Final = (
    "etcd", "etcd-peer", "apiserver", "controller-manager", "nats",
    "router-http", "router-grpc", "router-cars", "router-metrics",
    "carlet-models", "carlet-kubelet", "carlet-metrics", "operator-metrics", "operator-health",
)  # fmt: skip
PORTS_FILE: Final = "ports.json"
MARK: Final = "processes.json"
"""The first file of a plane; it tells its directory from others."""
NAMESPACE: Final = "parkade-system"
READY_SECONDS: Final = 60.0
"""A busy 2-core machine needs 3 to 10 s for the API server; past this something is wrong."""


class Plane:
    """A local plane kept in one directory; every command finds the same ports, keys and processes again."""

    def __init__(self, directory: Path, say: Say = lambda _line: None) -> None:
        self.directory = _own_directory(directory.resolve())
        self.data = self.directory / "data"
        self.data.mkdir(exist_ok=True)
        self.say = say
        self.authority = Authority(self.directory / "pki")
        self.processes = ProcessTable(self.directory / MARK, self.directory / "logs")
        self.kubeconfig = self.directory / "kubeconfig"
        self.model_store = self.data / "models"
        self.fleet = self.directory / "fleet"
        self.credentials_life = "24h"
        """How long what cars are signed lives; tests shorten it."""
        self.carlet_flags: dict[str, object] = {}
        """Further flags of `carlet nodes`, without their dashes."""

    def build(self, *, control_plane: bool = True, parkade: bool = True) -> None:
        """Build every program first, so that no port is chosen minutes before it is bound."""
        names = ["etcd", "kube-apiserver", "kube-controller-manager"] if control_plane else []
        for name in [*names, "kubectl", *(["nats-server"] if parkade else [])]:
            binaries.upstream(name, self.say)
        if parkade:
            binaries.carlet(self.say)
            binaries.router(self.say)

    @cached_property
    def ports(self) -> dict[str, int]:
        """The ports of this plane by name; kept while anything runs, a port that another program took is replaced."""
        return ports.keep(self.directory / PORTS_FILE, PORTS, running=self.running())

    def running(self) -> list[str]:
        """Names of the processes of this plane that are alive."""
        return [name for name in self.processes.names() if self.processes.is_running(name)]

    @property
    def control(self) -> ControlPlane:
        """The upstream control plane's launch specs."""
        return ControlPlane(self.ports, self.authority, self.data)

    def start_control_plane(self) -> None:
        """Start etcd, the API server and the controller manager; return when the API server is ready."""
        names = ("etcd", "kube-apiserver", "kube-controller-manager")
        programs = {name: binaries.upstream(name, self.say) for name in names}
        admin = self.authority.issue("admin", common_name="parkade-admin", organisation="system:masters")
        write_kubeconfig(self.kubeconfig, self.control.server, self.authority.certificate, admin)
        self.ensure("etcd", self.control.etcd(programs["etcd"]))
        self.ensure("kube-apiserver", self.control.apiserver(programs["kube-apiserver"]))
        self.await_url("kube-apiserver", f"{self.control.server}/readyz", admin)
        spec = self.control.controller_manager(programs["kube-controller-manager"])
        self.ensure("kube-controller-manager", spec)

    def use_current_cluster(self) -> None:
        """Use the cluster of the caller's kubeconfig instead of an own control plane.

        Raises:
            LocalPlaneError: no cluster answers there.
        """
        kubectl = str(binaries.upstream("kubectl", self.say))
        done = subprocess.run(
            [kubectl, "config", "view", "--raw", "--minify", "--flatten"], capture_output=True, check=False
        )
        if done.returncode:
            raise LocalPlaneError(f"no current cluster: {done.stderr.decode().strip()}; set KUBECONFIG")
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_bytes(done.stdout)
        self.kubectl("get", "--raw", "/readyz")

    def install(self) -> None:
        """Apply the custom resource definitions and the operator's namespace; wait until they are served."""
        root = source_root()
        if root is None:
            raise LocalPlaneError("crds/ is read from Parkade's sources; run `parkade up` from a checkout")
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(root / "crds"))
        namespace = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        self.kubectl("apply", "--server-side", "-f", "-", stdin=namespace)
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(root / "crds"))

    def start_link(self) -> None:
        """Start nats-server with TLS and the fleet's decentralised credentials."""
        server = binaries.upstream("nats-server", self.say)
        pair = self.authority.issue("nats", common_name="nats")
        self.carlet(
            "fleet", "init", "--dir", str(self.fleet), "--nats-port", str(self.ports["nats"]),
            "--jetstream-dir", str(self.data / "jetstream"), "--tls-cert", str(pair.certificate),
            "--tls-key", str(pair.key), "--ca", str(self.authority.certificate),
        )  # fmt: skip
        self.ensure("nats-server", LaunchSpec((str(server), "-c", str(self.fleet / "nats.conf"))))

    def start_parkade(self) -> None:
        """Start router, carlet and operator, and return when each answers its readiness probe."""
        self.model_store.mkdir(exist_ok=True)
        self.ensure("router", self._router())
        self.ensure("carlet", self._carlet())
        self.ensure("operator", self._operator())
        self.await_url("router", f"http://127.0.0.1:{self.ports['router-http']}/v2/health/live")
        self.await_url("carlet", f"http://127.0.0.1:{self.ports['carlet-metrics']}/readyz")
        self.await_url("operator", f"http://127.0.0.1:{self.ports['operator-health']}/readyz")

    def enroll(self, fleet: str, real_id: str, state_dir: Path) -> str:
        """Enrol a car as its installer would, by a token over HTTPS; returns its pseudonym.

        Args:
            fleet: the fleet, of which a token is made.
            real_id: what the car is known by outside; nothing keeps it.
            state_dir: the agent's state directory, where the car's keys are made and stay.
        """
        token = self.carlet(
            "fleet", "token", "--dir", str(self.fleet), "--nats", self.nats_url,
            "--nats-ca", str(self.authority.certificate), "--fleet", fleet, "--ttl", "10m",
        )  # fmt: skip
        with tempfile.TemporaryDirectory(dir=self.data) as directory:
            secret, car = Path(directory, "token"), Path(directory, "id")
            secret.write_text(token)
            car.write_text(real_id)
            return self._run(
                Path(sys.executable), "-m", "parkade", "fleet", "enroll", "--carlet", self.carlet_url,
                "--fleet", fleet, "--id-file", str(car), "--token-file", str(secret),
                "--ca", str(self.authority.certificate), "--state-dir", str(state_dir),
            ).strip()  # fmt: skip

    def stop(self, *, purge: bool = False) -> list[str]:
        """Stop everything started here, last first; with `purge` delete the directory too. Returns the names."""
        running = self.running()
        for name in reversed(self.processes.names()):
            self.processes.stop(name)
        if purge:
            shutil.rmtree(self.directory)
        return running

    def ensure(self, name: str, spec: LaunchSpec) -> None:
        """Start a process unless it runs already."""
        if not self.processes.is_running(name):
            self.processes.start(name, spec)

    def await_url(self, name: str, url: str, client: KeyPair | None = None) -> None:
        """Wait until a process answers 200 at a URL.

        Raises:
            LocalPlaneError: it ended, or did not answer in time; with the last lines of its log.
        """
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if client is not None:
            context.load_cert_chain(client.certificate, client.key)
        with httpx.Client(verify=context, timeout=5.0, trust_env=False) as http:
            self.await_condition(name, lambda: http.get(url).is_success, f"answer {url}")

    def await_condition(self, name: str, holds: Callable[[], bool], what: str) -> None:
        """Poll a condition of a process until it holds; transport errors count as not yet."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if not self.processes.is_running(name):
                raise LocalPlaneError(f"{name} ended at once; its log says:\n{self.processes.log_tail(name)}")
            with suppress(httpx.TransportError):
                if holds():
                    return
            time.sleep(0.05)
        tail = self.processes.log_tail(name)
        raise LocalPlaneError(f"{name} did not {what} within {READY_SECONDS:g} s; its log says:\n{tail}")

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl against this plane and return what it printed.

        Raises:
            LocalPlaneError: kubectl refused, with its own sentence.
        """
        program = binaries.upstream("kubectl", self.say)
        # kubectl's discovery cache is keyed by host and port, which another plane may have had before
        connection = ("--kubeconfig", str(self.kubeconfig), "--cache-dir", str(self.data / "kubectl"))
        return self._run(program, *connection, *arguments, stdin=stdin)

    def carlet(self, *arguments: str) -> str:
        """Run a carlet subcommand that ends by itself."""
        return self._run(binaries.carlet(self.say), *arguments)

    def _run(self, program: Path, *arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run([program, *arguments], input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LocalPlaneError(f"{program.name} {' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def _router(self) -> LaunchSpec:
        name, uri = "parkade-router", "parkade://router/local"
        pair = self.authority.issue("router-local", common_name=name, uris=(uri,), listens=True)
        listen = {name: f"127.0.0.1:{self.ports[f'router-{name}']}" for name in ("http", "grpc", "cars", "metrics")}
        flags = [f"--{name}={address}" for name, address in listen.items()]
        flags += [f"--kubeconfig={self.kubeconfig}", f"--namespace={NAMESPACE}", "--id=local"]
        flags += [f"--ca={self._cars_authorities()}", f"--cert={pair.certificate}", f"--key={pair.key}"]
        flags.append(f"--access-log={self.directory / 'logs' / 'access.log'}")
        flags.append("--shutdown-delay-seconds=0")  # nobody balances over one router
        return LaunchSpec((str(binaries.router(self.say)), *flags))

    def _cars_authorities(self) -> Path:
        """Whom the router believes: this plane's authority, and the fleet's, which signs for cars."""
        bundle = self.data / "router-ca.crt"
        bundle.write_bytes(self.authority.certificate.read_bytes() + (self.fleet / "vehicles-ca.crt").read_bytes())
        return bundle

    def _carlet(self) -> LaunchSpec:
        pair = self.authority.issue("carlet", common_name="carlet")
        models = f"127.0.0.1:{self.ports['carlet-models']}"
        flags = {
            "kubeconfig": self.kubeconfig, "namespace": NAMESPACE, "id": "local",
            "nats": self.nats_url, "nats-creds": self.fleet / "carlet.creds",
            "nats-ca": self.authority.certificate, "ca": self.authority.certificate,
            "cert": pair.certificate, "key": pair.key,
            "models-listen": models, "models-advertise": models, "model-store": self.model_store,
            "kubelet-listen": f"127.0.0.1:{self.ports['carlet-kubelet']}", "kubelet-advertise": "127.0.0.1",
            "fleet-keys": self.fleet, "credentials-life": self.credentials_life,
            "url-key": self.directory / "pki" / "url.key",
            "metrics": f"127.0.0.1:{self.ports['carlet-metrics']}", **self.carlet_flags,
        }  # fmt: skip
        return LaunchSpec(
            (str(binaries.carlet(self.say)), "nodes", *(f"--{name}={value}" for name, value in flags.items()))
        )

    def _operator(self) -> LaunchSpec:
        settings = {
            "KUBECONFIG": str(self.kubeconfig),
            "PARKADE_NAMESPACE": NAMESPACE,
            "PARKADE_MODEL_STORE": self.model_store.as_uri(),
            "PARKADE_STATUS_URL": "Router",
            # What runs here shares the cores, so that a time observed says more of its neighbours than of its hardware.
            "PARKADE_OBSERVED_TIMES": "Ignore",
            "PARKADE_METRICS_PORT": str(self.ports["operator-metrics"]),
            "PARKADE_HEALTH_PORT": str(self.ports["operator-health"]),
        }
        return LaunchSpec((sys.executable, "-m", "parkade", "operator"), settings)

    @property
    def carlet_url(self) -> str:
        """Where vehicles enrol and fetch models."""
        return f"https://127.0.0.1:{self.ports['carlet-models']}"

    @property
    def nats_url(self) -> str:
        """Where vehicles and carlet find the fleet link."""
        return f"tls://127.0.0.1:{self.ports['nats']}"


def _own_directory(directory: Path) -> Path:
    """Make the directory; refuse one with somebody else's files, since `--purge` deletes it whole."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        foreign = any(directory.iterdir()) and not (directory / MARK).exists()
    except OSError as error:
        raise LocalPlaneError(f"{directory} cannot be used: {error.strerror}; choose another with --dir") from error
    if foreign:
        raise LocalPlaneError(f"{directory} holds other files than a plane's; choose an empty one with --dir")
    return directory
