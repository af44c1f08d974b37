"""The car's own keys and what its fleet signed for them: made by a token once, renewed over the link each day.

The seed of the link's key and the key of the certificate are made here and never leave the state directory.
"""

import base64
import contextlib
import json
import logging
import os
import random
import re
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import httpx
import nkeys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from parkade.errors import InvalidInput, Unavailable
from parkade.vehicle.backoff import retry_after
from parkade.vehicle.notebook import Notebook
from parkade.vehicle.wire import MAX_MESSAGE, TOKEN, VERSION

log = logging.getLogger(__name__)

RECORD: Final = "enrolment.json"
SEED: Final = "link.seed"
CREDENTIALS: Final = "link.creds"
KEY: Final = "vehicle.key"
CERTIFICATE: Final = "vehicle.crt"

TIMEOUT: Final = httpx.Timeout(20.0, connect=10.0)
RENEW_AT: Final = (0.6, 0.72)
"""Share of the credentials' life after which a car asks for new ones, drawn anew each time: a fleet that was
installed in one hour must not renew in one hour for ever."""
_JWT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class NotLetIn(InvalidInput):
    """The fleet refuses the car; asking again alone will not help."""


class FleetUnavailable(Unavailable):
    """The fleet's enrolment does not answer, or not now."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is not secret of an enrolment. Times are seconds of this car's own clock."""

    url: str
    """Where the fleet enrols, `https://HOST:PORT`."""
    fleet: str
    vehicle: str
    """The pseudonym that the fleet gave; the car's real id is kept nowhere."""
    renew: float
    expires: float


class Enrolment:
    """The files of an enrolled car; whoever dials reads them anew."""

    def __init__(self, notebook: Notebook, authority: Path, record: Record) -> None:
        self._notebook = notebook
        self._authority = authority
        self.record = record

    @classmethod
    def find(cls, state_dir: Path, authority: Path) -> Self | None:
        """Return the enrolment that a state directory holds, or None."""
        notebook = Notebook(state_dir)
        held = notebook.read_json(RECORD)
        try:
            record = Record(
                str(held["url"]), str(held["fleet"]), str(held["vehicle"]), float(held["renew"]), float(held["expires"])
            )
        except (KeyError, TypeError, ValueError):
            return None
        return cls(notebook, authority, record)

    @classmethod
    def begin(cls, state_dir: Path, authority: Path, url: str, fleet: str, real_id: str, token: str) -> Self:
        """Enrol a car by a token of its fleet, with keys made here; an enrolled car gets its own name again.

        Raises:
            NotLetIn: the fleet refuses, with its own sentence.
            FleetUnavailable: nobody answers.
        """
        notebook = Notebook(state_dir)
        user = _user(notebook)
        asked = {
            "v": VERSION,
            "fleet": fleet,
            "id": real_id,
            "publicKey": user.public_key.decode(),
            "csr": _request(notebook),
        }
        with _client(authority) as client:
            grant = _answer(client, "POST", f"{url}/v1/enroll", asked, token)
        enrolment = cls(notebook, authority, Record(url, fleet, str(grant.get("vehicle", "")), 0.0, 0.0))
        enrolment.take(grant)
        return enrolment

    @property
    def credentials(self) -> Path:
        """The link's token and seed, as NATS clients read them."""
        return self._notebook.path(CREDENTIALS)

    @property
    def certificate(self) -> Path:
        """The certificate for routers."""
        return self._notebook.path(CERTIFICATE)

    @property
    def key(self) -> Path:
        """Its key."""
        return self._notebook.path(KEY)

    def due(self) -> float:
        """Seconds until the car should renew; negative when it is late."""
        return self.record.renew - time.time()

    @property
    def expired(self) -> bool:
        """Whether the link would refuse the token."""
        return time.time() >= self.record.expires

    def ask(self) -> dict[str, Any]:
        """Return the `renew` message: who may publish it has proved its name to the server."""
        return {"v": VERSION, "csr": _request(self._notebook)}

    def receive(self, payload: bytes) -> bool:
        """Take a `credentials` message; return whether it brought new ones. What cannot be meant changes nothing."""
        try:
            grant = json.loads(payload) if len(payload) <= MAX_MESSAGE else None
        except (ValueError, RecursionError):
            grant = None
        if not isinstance(grant, dict) or grant.get("v") != VERSION:
            log.warning("an answer about credentials is no message of version %d and is ignored", VERSION)
            return False
        try:
            self.take(grant)
        except NotLetIn as error:
            log.warning("credentials are not renewed: %s", error)
            return False
        return True

    def renew_by_key(self) -> None:
        """Renew without the link: the car slept longer than its credentials live, and proves itself by its key.

        Raises:
            NotLetIn: the fleet refuses, with its own sentence.
            FleetUnavailable: nobody answers.
        """
        user, record = _user(self._notebook), self.record
        csr = _request(self._notebook)
        with _client(self._authority) as client:
            nonce = str(_answer(client, "GET", f"{record.url}/v1/nonce").get("nonce", ""))
            proof = f"parkade-renew\n{nonce}\n{record.fleet}\n{record.vehicle}\n{csr}".encode()
            asked = {
                "v": VERSION, "fleet": record.fleet, "vehicle": record.vehicle, "csr": csr, "nonce": nonce,
                "publicKey": user.public_key.decode(), "signature": base64.b64encode(user.sign(proof)).decode(),
            }  # fmt: skip
            self.take(_answer(client, "POST", f"{record.url}/v1/renew", asked))

    def take(self, grant: dict[str, Any]) -> None:
        """Write what the fleet signed, the credentials last: half of it must not lock the car out.

        Raises:
            NotLetIn: it is a refusal, or not meant for this car.
        """
        if grant.get("reason"):
            raise NotLetIn(str(grant.get("message") or grant["reason"]))
        token, certificate = grant.get("jwt"), grant.get("certificate")
        if not isinstance(token, str) or not _JWT.fullmatch(token) or grant.get("vehicle") != self.record.vehicle:
            raise NotLetIn("the answer holds no credentials of this car; is it another fleet's?")
        if not TOKEN.fullmatch(self.record.vehicle):
            raise NotLetIn("the fleet gave a name that is no token of a subject; ask its engineer")
        life, now = _life(token), time.time()
        self.record = Record(
            self.record.url, self.record.fleet, self.record.vehicle,
            now + life * random.uniform(*RENEW_AT), now + life,  # noqa: S311 -- spreads renewals, hides nothing
        )  # fmt: skip
        if isinstance(certificate, str) and certificate:
            self._notebook.write(CERTIFICATE, certificate.encode())
        seed = (self._notebook.read(SEED) or b"").decode().strip()
        self._notebook.write(CREDENTIALS, _CREDENTIALS.format(token=token, seed=seed).encode())
        self._notebook.write_json(
            RECORD,
            {
                "url": self.record.url,
                "fleet": self.record.fleet,
                "vehicle": self.record.vehicle,
                "renew": self.record.renew,
                "expires": self.record.expires,
            },
        )


def enrol(state_dir: Path, authority: Path, url: str, fleet: str, id_file: Path, token_file: Path) -> Enrolment:
    """Enrol a car with the real id and the token that two files hold.

    Raises:
        InvalidInput: a file cannot be read, or the fleet refuses.
        FleetUnavailable: nobody answers.
    """
    try:
        real_id, token = id_file.read_text().strip(), token_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the token or the real id cannot be read: {error}") from error
    return Enrolment.begin(state_dir, authority, url.rstrip("/"), fleet, real_id, token)


_CREDENTIALS: Final = """-----BEGIN NATS USER JWT-----
{token}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------
"""


def _life(token: str) -> float:
    """Seconds between issue and end of a JWT; its own two times, so that no clocks are compared."""
    body = token.split(".")[1]
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        life = float(claims.get("exp", 0)) - float(claims.get("iat", 0))
        if life > 0:
            return life
    raise NotLetIn("the answer's credentials have no end; ask the fleet's engineer")


def _user(notebook: Notebook) -> "nkeys.KeyPair":
    """The link's key, made at the first call."""
    seed = notebook.read(SEED)
    if seed is None:
        seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
        notebook.write(SEED, seed)
    try:
        return nkeys.from_seed(bytearray(seed.strip()))
    except nkeys.NkeysError as error:
        raise InvalidInput(f"{notebook.path(SEED)} is not a seed; delete it and enrol the car again") from error


def _request(notebook: Notebook) -> str:
    """A certificate request (PEM) for the car's key, made at the first call; the fleet writes the names."""
    held = notebook.read(KEY)
    if held is None:
        key = ec.generate_private_key(ec.SECP256R1())
        held = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        notebook.write(KEY, held)
    try:
        private = serialization.load_pem_private_key(held, None)
    except ValueError as error:
        raise InvalidInput(f"{notebook.path(KEY)} is not a key; delete it and enrol the car again") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise InvalidInput(f"{notebook.path(KEY)} is not an elliptic-curve key; delete it and enrol the car again")
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(private, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _client(authority: Path) -> httpx.Client:
    try:
        context = ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(f"--ca {authority} cannot be used: {error}") from error
    return httpx.Client(verify=context, timeout=TIMEOUT, trust_env=False)


def _answer(client: httpx.Client, method: str, url: str, body: Any = None, token: str = "") -> dict[str, Any]:  # noqa: ANN401 -- JSON
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        answer = client.request(method, url, json=body, headers=headers)
        found = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise FleetUnavailable(
            f"the fleet's enrolment at {url} does not answer ({type(error).__name__}); check the address and --ca"
        ) from error
    if not isinstance(found, dict):
        raise FleetUnavailable(f"{url} does not answer as an enrolment does; check the address")
    if answer.status_code == httpx.codes.OK:
        return found
    sentence = str(found.get("error", answer.reason_phrase))
    if answer.status_code in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE):
        raise FleetUnavailable(sentence, retry_after(answer.headers))
    raise NotLetIn(sentence)
