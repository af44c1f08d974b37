"""One certificate authority for the control plane, the fleet link, routers and vehicles of one machine."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS: Final = 365
LOCAL_NAMES: Final = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
LOCAL_ADDRESSES: Final = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Paths of a PEM certificate and its private key (mode 0600)."""

    certificate: Path
    key: Path


class Authority:
    """The certificate authority kept in one directory; made on first use, read afterwards."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.pair = KeyPair(directory / "ca.crt", directory / "ca.key")
        if not self.pair.key.exists():
            self._create()

    @property
    def certificate(self) -> Path:
        """The CA certificate that everyone trusts."""
        return self.pair.certificate

    def issue(
        self,
        name: str,
        *,
        common_name: str,
        organisation: str = "",
        uris: tuple[str, ...] = (),
        hosts: tuple[str, ...] = (),
        listens: bool = False,
    ) -> KeyPair:
        """Issue (or find again) the pair `<name>.crt`, `<name>.key`, for client and server use on this machine.

        Args:
            name: file name without suffix.
            common_name: the Kubernetes user, or a host name.
            organisation: the Kubernetes group; empty for none.
            uris: URI subject alternative names; a vehicle's is `parkade://vehicle/<fleet>/<vehicle>`, a router's
                `parkade://router/<id>`.
            hosts: further names and addresses at which it is reached.
            listens: with this machine's names besides `uris`; a certificate without URIs always has them.
        """
        pair = KeyPair(self.directory / f"{name}.crt", self.directory / f"{name}.key")
        if pair.certificate.exists():
            return pair
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        if listens or not uris:
            hosts = (*LOCAL_NAMES, *LOCAL_ADDRESSES, *hosts)
        names += [_host(host) for host in hosts]
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        authority = x509.load_pem_x509_certificate(self.pair.certificate.read_bytes())
        certificate = (
            _builder(_subject(common_name, organisation), authority.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._private_key(), hashes.SHA256())
        )
        _write_private(pair.key, _pem(key))
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return pair

    def service_account_keys(self) -> KeyPair:
        """The key that signs service account tokens, and its public half."""
        pair = KeyPair(self.directory / "sa.pub", self.directory / "sa.key")
        if not pair.key.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            _write_private(pair.key, _pem(key))
            pair.certificate.write_bytes(
                key.public_key().public_bytes(
                    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
                )
            )
        return pair

    def _create(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject("parkade-local", "")
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
            decipher_only=False,
        )  # fmt: skip
        certificate = (
            _builder(subject, subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        _write_private(self.pair.key, _pem(key))
        self.pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _private_key(self) -> ec.EllipticCurvePrivateKey:
        key: PrivateKeyTypes = serialization.load_pem_private_key(self.pair.key.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self.pair.key} is not an elliptic-curve key; delete its directory to start anew")
        return key


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _subject(common_name: str, organisation: str) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organisation:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(attributes)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
