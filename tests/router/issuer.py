"""An issuer of JWTs: keys, their public set, and tokens that are as wrong as a test wants."""

import base64
import json
import time
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

NAME: Final = "https://issuer.example"
AUDIENCE: Final = "parkade"


def encoded(data: bytes) -> str:
    """base64url without padding, as RFC 7515 wants it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return encoded(value.to_bytes((value.bit_length() + 7) // 8))


class Rs256:
    algorithm = "RS256"

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)

    def public(self) -> dict[str, str]:
        numbers = self.key.public_key().public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())


class Es256:
    algorithm = "ES256"

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    def public(self) -> dict[str, str]:
        numbers = self.key.public_key().public_numbers()
        point = {axis: encoded(getattr(numbers, axis).to_bytes(32)) for axis in ("x", "y")}
        return {"kty": "EC", "crv": "P-256", **point}

    def sign(self, message: bytes) -> bytes:
        r, s = utils.decode_dss_signature(self.key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)


class EdDsa:
    algorithm = "EdDSA"

    def __init__(self) -> None:
        self.key = ed25519.Ed25519PrivateKey.generate()

    def public(self) -> dict[str, str]:
        return {"kty": "OKP", "crv": "Ed25519", "x": encoded(self.key.public_key().public_bytes_raw())}

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message)


class Issuer:
    """One key of each algorithm, named after it."""

    def __init__(self) -> None:
        self.keys = {key.algorithm: key for key in (Rs256(), Es256(), EdDsa())}

    def key_set(self) -> bytes:
        rows = [{"kid": name, "alg": name, "use": "sig", **key.public()} for name, key in self.keys.items()]
        return json.dumps({"keys": rows}).encode()

    def token(self, namespace: str | list[str] = "vision", algorithm: str = "ES256", **changes: Any) -> str:
        """A good token; claims may be changed or, with None, left out. Header fields begin with `header_`."""
        header = {"typ": "JWT", "alg": algorithm, "kid": algorithm}
        claims = {
            "iss": NAME, "aud": [AUDIENCE], "exp": int(time.time()) + 600,
            "sub": "system:serviceaccount:x:y", "kubernetes.io": {"namespace": namespace},
        }  # fmt: skip
        for name, value in changes.items():
            part, field = (header, name.removeprefix("header_")) if name.startswith("header_") else (claims, name)
            part[field] = value
        parts = [{name: value for name, value in part.items() if value is not None} for part in (header, claims)]
        message = ".".join(encoded(json.dumps(part).encode()) for part in parts)
        return f"{message}.{encoded(self.keys[algorithm].sign(message.encode()))}"
