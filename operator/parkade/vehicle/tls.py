"""TLS as the car uses it: it only ever dials, and it trusts one authority."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from parkade.errors import InvalidInput

ROUTER: Final = "parkade://router/"
"""Begins the URI name of a router's certificate, by which cars know it: routers come and go with their addresses, and
no certificate could name those. The authority signs this name for routers alone."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of the authority and of the car; read at every use, as short-lived certificates are renewed in place."""

    ca: Path
    cert: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return a client context that presents the car's certificate where it has one.

        Raises:
            InvalidInput: a file is missing or is not PEM.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                f"certificates {self.ca}, {self.cert} and {self.key} cannot be used: {error}; enrol the vehicle again"
            ) from error
        return context

    def routers(self) -> ssl.SSLContext:
        """Return a client context for routers, which `is_router` has to know; raises as `context`."""
        context = self.context()
        context.check_hostname = False
        return context

    def strangers(self) -> ssl.SSLContext:
        """Return a client context for others than the fleet: it trusts public authorities too, and presents nothing.

        Raises:
            InvalidInput: the authority's file is missing or is not PEM.
        """
        context = Certificates(self.ca).context()
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context


def is_router(certificate: dict[str, Any] | None) -> bool:
    """Whether the certificate of a peer of `Certificates.routers` is a router's, and not one of somebody else's."""
    names = (certificate or {}).get("subjectAltName", ())
    return any(kind == "URI" and name.startswith(ROUTER) for kind, name in names)
