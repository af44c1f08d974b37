"""One node with its control plane, in namespaces of its own: started, broken, mended and removed by tests."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from localnode import cgroups, images, programs
from localnode.network import Network, run
from parkade.errors import LocalPlaneError
from parkade.local import binaries
from parkade.local.controlplane import ControlPlane, write_kubeconfig
from parkade.local.plane import Plane
from parkade.local.processes import LaunchSpec

Say = Callable[[str], None]

NAME: Final = "parkade-node"
CONFIGURATION: Final = Path(__file__).with_name("conf")
HIDDEN: Final = ("/run", "/var/lib", "/var/log")
"""Folders of which the node has empty ones of its own."""
TUNED: Final = {
    "kernel/panic": "10", "kernel/panic_on_oops": "1", "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000", "vm/overcommit_memory": "1", "vm/panic_on_oom": "0",
}  # fmt: skip
"""What a kubelet sets for the whole machine: here it reads and writes files of the node instead."""
READY_SECONDS: Final = 120.0


class Node:
    """A Kubernetes cluster of one node; `plane` has its kubectl, processes, keys and directory."""

    def __init__(self, directory: Path, say: Say = lambda _line: None) -> None:
        self.plane = Plane(directory, say)
        self.network = Network.unused()
        self.say = say
        self._cgroup = f"parkade-node-{self.network.number}"
        self._debian = programs.debian(say)
        self._mounts = ""

    @classmethod
    @contextmanager
    def running(cls, directory: Path, archives: Mapping[str, Path], say: Say = lambda _line: None) -> Iterator[Self]:
        """A node that is Ready and has DNS and these images; removed at the end, whatever happened."""
        node = cls(directory, say)
        try:
            node.start(archives)
            yield node
        finally:
            node.stop()

    def start(self, archives: Mapping[str, Path]) -> None:
        """Start everything; returns when the node is Ready and DNS answers."""
        tools = {name: programs.built(name, self.say) for name in ("kubelet", "kube-proxy", "kube-scheduler")}
        upstream = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
        tools |= {name: binaries.upstream(name, self.say) for name in upstream}
        self._enclose()
        self._configure()
        control = ControlPlane(
            self.plane.ports, self.plane.authority, self.plane.data, self.network.node, self.network.services
        )
        admin = self.plane.authority.issue("admin", common_name="parkade-admin", organisation="system:masters")
        write_kubeconfig(self.plane.kubeconfig, control.server, self.plane.authority.certificate, admin)
        self.start_containerd()
        self._ensure("etcd", control.etcd(tools["etcd"]))
        self._ensure("kube-apiserver", control.apiserver(tools["kube-apiserver"]))
        for archive in archives.values():
            self.container_tool("images", "import", str(archive))
        self.plane.await_url("kube-apiserver", f"{control.server}/readyz", admin)
        manager = control.controller_manager(tools["kube-controller-manager"])
        self._ensure("kube-controller-manager", manager)
        self._ensure("kube-scheduler", control.scheduler(tools["kube-scheduler"]))
        self._kubelet(control, tools["kubelet"])
        self.start_kubelet()
        write_kubeconfig(
            self.plane.directory / "conf" / "kube-proxy.kubeconfig", control.server, self.plane.authority.certificate,
            self.plane.authority.issue("kube-proxy", common_name="system:kube-proxy"),
        )  # fmt: skip
        self._ensure("kube-proxy", self._with_configuration(tools["kube-proxy"], "kube-proxy.yaml"))
        self.plane.kubectl("apply", "--server-side", "-f", str(self.plane.directory / "conf" / "dns.yaml"))
        self.await_that("the node is Ready", self.is_ready)
        self.plane.kubectl("rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=120s")

    def stop(self) -> None:
        """End every process of the node and remove all that it made."""
        for name in reversed(self.plane.processes.names()):
            self.plane.processes.kill(name)  # nothing of it is kept, so nothing need end in order
            self.plane.processes.stop(name)
        cgroups.end_all(self._cgroup, self._mounts)
        self.network.disconnect()
        shutil.rmtree(self.plane.data)

    def kill(self, name: str) -> None:
        """Kill one process as a crash would; containers go on."""
        self.plane.processes.kill(name)

    def start_containerd(self) -> None:
        """Start containerd where it does not run; returns when it answers."""
        program = self._debian.program("containerd")
        configuration = self.plane.directory / "conf" / "containerd.toml"
        self._ensure("containerd", LaunchSpec((str(program), "--config", str(configuration))))
        self.await_that("containerd answers", lambda: bool(self.container_tool("version")))

    def start_kubelet(self) -> None:
        """Start the kubelet where it does not run."""
        self._ensure("kubelet", self._kubelet_spec)

    def container_tool(self, *arguments: str) -> str:
        """Run `ctr` on the images and containers that the kubelet uses."""
        address = ("--address", str(self.plane.directory / "containerd.sock"), "--namespace", "k8s.io")
        return run("env", *self._inside(str(self._debian.program("ctr")), *address, *arguments))

    def is_ready(self) -> bool:
        """Tell whether the kubelet has said of late that the node is Ready."""
        nodes = [node for node in self.json("nodes")["items"] if node["metadata"]["name"] == NAME]
        return any(ready(node) for node in nodes)

    def json(self, *arguments: str) -> dict[str, Any]:
        """What `kubectl get ... -o json` says."""
        answer: dict[str, Any] = json.loads(self.plane.kubectl("get", *arguments, "-o", "json"))
        return answer

    def await_that(self, what: str, holds: Callable[[], bool], seconds: float = READY_SECONDS) -> float:
        """Wait for a condition; return how long it took (seconds), or fail with what was awaited."""
        started = time.monotonic()
        while not self._holds(holds):
            if time.monotonic() - started > seconds:
                raise TimeoutError(f"not within {seconds:g} s: {what}")
            time.sleep(0.1)
        return time.monotonic() - started

    @staticmethod
    def _holds(holds: Callable[[], bool]) -> bool:
        try:
            return holds()
        except LocalPlaneError:
            return False  # what is asked has not started yet, or is broken on purpose

    def _enclose(self) -> None:
        """The namespaces, held by a process that sleeps."""
        cgroups.create(self._cgroup)
        tuned = self.plane.directory / "tuned"
        tuned.mkdir()
        steps = ["set -e"]
        for path, value in TUNED.items():
            (file := tuned / path.replace("/", ".")).write_text(f"{value}\n")
            steps.append(f"mount --bind {file} /proc/sys/{path}")
        steps += [f"mount -t tmpfs -o mode=755 tmpfs {folder}" for folder in HIDDEN]
        steps += [
            "mount --make-rshared /",
            f"hostname {NAME}",
            "ip link set lo up",
            "echo 1 > /proc/sys/net/ipv4/ip_forward",
        ]
        steps += [f"touch {self.plane.directory}/enclosed", "exec sleep infinity"]
        unshare = ("unshare", "--mount", "--net", "--uts", "--ipc", "--propagation", "private")
        self.plane.ensure("namespaces", LaunchSpec((*unshare, "sh", "-c", "\n".join(steps))))
        enclosed = self.plane.directory / "enclosed"
        self.plane.await_condition("namespaces", enclosed.exists, "make namespaces")
        self._holder = self._pid("namespaces")
        self._mounts = str(Path(f"/proc/{self._holder}/ns/mnt").readlink())
        self.network.connect(self._holder)

    def _configure(self) -> None:
        directory, authority = self.plane.directory, self.plane.authority
        kubelet = authority.issue(
            "kubelet", common_name=f"system:node:{NAME}", organisation="system:nodes", hosts=(self.network.node, NAME)
        )
        values = {
            "DIR": directory, "NODE": NAME, "CGROUP": self._cgroup, "ADDRESS": self.network.node,
            "PODS": self.network.pods, "DNS": self.network.dns, "CNI": self._debian.interfaces,
            "PAUSE": images.name_of("pause"), "DNS_IMAGE": images.name_of("coredns"),
            "CA": authority.certificate, "KUBELET_CERT": kubelet.certificate, "KUBELET_KEY": kubelet.key,
        }  # fmt: skip
        for source in CONFIGURATION.rglob("*.*"):
            target = directory / "conf" / source.relative_to(CONFIGURATION)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(re.sub(r"\$\{(\w+)\}", lambda found: str(values[found[1]]), source.read_text()))
        (directory / "conf" / "resolv.conf").touch()

    def _kubelet(self, control: ControlPlane, program: Path) -> None:
        data = self.plane.data / "kubelet"
        kubeconfig = control.client("kubelet", f"system:node:{NAME}", "system:nodes")
        spec = self._with_configuration(program, "kubelet.yaml")
        flags = {"kubeconfig": kubeconfig, "hostname-override": NAME, "node-ip": self.network.node,
                 "root-dir": data, "cert-dir": data / "pki"}  # fmt: skip
        self._kubelet_spec = LaunchSpec((*spec.argv, *(f"--{name}={value}" for name, value in flags.items())))

    def _with_configuration(self, program: Path, file: str) -> LaunchSpec:
        return LaunchSpec((str(program), f"--config={self.plane.directory / 'conf' / file}"))

    def _ensure(self, name: str, spec: LaunchSpec) -> None:
        """Start a program in the namespaces; nsenter becomes it, so that its id is the program's."""
        self.plane.ensure(name, LaunchSpec(("env", *self._inside(*spec.argv)), spec.env))

    def _inside(self, *command: str) -> tuple[str, ...]:
        variables = (f"{name}={value}" for name, value in self._debian.environment.items())
        enter = ("nsenter", "--target", str(self._holder), "--mount", "--net", "--uts", "--ipc", "--")
        return (*variables, *enter, *command)

    def _pid(self, name: str) -> int:
        process = self.plane.processes.process(name)
        assert process is not None
        return process.pid


def ready(thing: Mapping[str, Any]) -> bool:
    """Tell whether a node or a pod says that it is Ready."""
    conditions = thing.get("status", {}).get("conditions", [])
    return any((condition["type"], condition["status"]) == ("Ready", "True") for condition in conditions)
