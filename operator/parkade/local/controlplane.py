"""The upstream control plane as launch specs: etcd, API server, controller manager, scheduler; TLS and RBAC on."""

import base64
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from parkade.local.pki import Authority, KeyPair
from parkade.local.processes import LaunchSpec

LOOPBACK: Final = "127.0.0.1"
SERVICE_RANGE: Final = "10.96.0.0/16"
"""Kubernetes' usual default; without a kube-proxy nothing routes it."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Ports, keys and directories of one control plane."""

    ports: dict[str, int]
    authority: Authority
    data: Path
    address: str = LOOPBACK
    """Where the API server is reached; another than loopback where pods run, which call it too."""
    services: str = SERVICE_RANGE
    """Addresses of Services."""

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{self.address}:{self.ports['apiserver']}"

    def etcd(self, binary: Path) -> LaunchSpec:
        """One member; no fsync, for a machine crash may cost this cluster its state and nothing else."""
        pair = self.authority.issue("etcd", common_name="etcd")
        client, peer = (f"https://127.0.0.1:{self.ports[name]}" for name in ("etcd", "etcd-peer"))
        trusted = str(self.authority.certificate)
        return _spec(
            binary,
            data_dir=self.data / "etcd",
            unsafe_no_fsync="true",
            listen_client_urls=client,
            advertise_client_urls=client,
            listen_peer_urls=peer,
            initial_advertise_peer_urls=peer,
            initial_cluster=f"default={peer}",
            client_cert_auth="true",
            trusted_ca_file=trusted,
            cert_file=pair.certificate,
            key_file=pair.key,
            peer_client_cert_auth="true",
            peer_trusted_ca_file=trusted,
            peer_cert_file=pair.certificate,
            peer_key_file=pair.key,
            log_level="warn",
        )

    def apiserver(self, binary: Path) -> LaunchSpec:
        """RBAC and Node authorisation; kubelet calls (logs) go to carlet with a client certificate."""
        own_service = str(next(ipaddress.ip_network(self.services).hosts()))
        serving = self.authority.issue("apiserver", common_name="kube-apiserver", hosts=(self.address, own_service))
        client = self.authority.issue(
            "apiserver-kubelet-client", common_name="apiserver-kubelet-client", organisation="system:masters"
        )
        etcd = self.authority.issue("apiserver-etcd-client", common_name="apiserver-etcd-client")
        accounts = self.authority.service_account_keys()
        trusted = str(self.authority.certificate)
        return _spec(
            binary,
            etcd_servers=f"https://127.0.0.1:{self.ports['etcd']}",
            etcd_cafile=trusted,
            etcd_certfile=etcd.certificate,
            etcd_keyfile=etcd.key,
            bind_address=LOOPBACK if self.address == LOOPBACK else "0.0.0.0",  # noqa: S104 -- as its pods need it
            advertise_address=self.address,
            endpoint_reconciler_type="none" if self.address == LOOPBACK else "lease",
            secure_port=self.ports["apiserver"],
            tls_cert_file=serving.certificate,
            tls_private_key_file=serving.key,
            client_ca_file=trusted,
            kubelet_certificate_authority=trusted,
            kubelet_client_certificate=client.certificate,
            kubelet_client_key=client.key,
            kubelet_preferred_address_types="InternalIP",
            authorization_mode="Node,RBAC",
            enable_admission_plugins="NodeRestriction",
            service_account_key_file=accounts.certificate,
            service_account_signing_key_file=accounts.key,
            service_account_issuer="https://kubernetes.default.svc.cluster.local",
            service_cluster_ip_range=self.services,
        )

    def controller_manager(self, binary: Path) -> LaunchSpec:
        """All default controllers: garbage collection, and those that would evict pods of cars if we let them."""
        kubeconfig = self.client("controller-manager", "system:kube-controller-manager")
        return _spec(
            binary,
            kubeconfig=kubeconfig,
            authentication_kubeconfig=kubeconfig,
            authorization_kubeconfig=kubeconfig,
            bind_address=LOOPBACK,
            secure_port=self.ports["controller-manager"],
            root_ca_file=self.authority.certificate,
            service_account_private_key_file=self.authority.service_account_keys().key,
            use_service_account_credentials="true",
            leader_elect="false",
        )

    def scheduler(self, binary: Path) -> LaunchSpec:
        """Binds pods to nodes where a kubelet runs them; a plane without pods needs none."""
        kubeconfig = self.client("scheduler", "system:kube-scheduler")
        return _spec(
            binary,
            kubeconfig=kubeconfig,
            authentication_kubeconfig=kubeconfig,
            authorization_kubeconfig=kubeconfig,
            bind_address=LOOPBACK,
            leader_elect="false",
        )

    def client(self, name: str, user: str, organisation: str = "") -> Path:
        """The kubeconfig of one of Kubernetes' own clients."""
        pair = self.authority.issue(name, common_name=user, organisation=organisation)
        kubeconfig = self.data / f"{name}.kubeconfig"
        write_kubeconfig(kubeconfig, self.server, self.authority.certificate, pair)
        return kubeconfig


def write_kubeconfig(path: Path, server: str, authority: Path, pair: KeyPair) -> None:
    """Write a kubeconfig (mode 0600) with the keys inside it, so that it can be copied."""
    embedded = {
        "certificate-authority-data": _base64(authority),
        "client-certificate-data": _base64(pair.certificate),
        "client-key-data": _base64(pair.key),
    }
    cluster = {"server": server, "certificate-authority-data": embedded.pop("certificate-authority-data")}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "parkade", "cluster": cluster}],
        "users": [{"name": pair.certificate.stem, "user": embedded}],
        "contexts": [{"name": "parkade", "context": {"cluster": "parkade", "user": pair.certificate.stem}}],
        "current-context": "parkade",
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content))


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _spec(binary: Path, **flags: object) -> LaunchSpec:
    return LaunchSpec((str(binary), *(f"--{name.replace('_', '-')}={value}" for name, value in flags.items())))
