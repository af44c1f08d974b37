"""A real S3 server on a folder of this machine, and URLs signed for it by the published rules."""

import hashlib
import hmac
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from parkade.local.plane import Plane
from parkade.local.ports import choose
from parkade.local.processes import LaunchSpec

KEY, SECRET, REGION = "parkade-test", "never-to-be-shown", "us-east-1"
PLACE = "models/fleet"
"""Bucket and prefix under which it has the layout of the model store."""


class Bucket:
    """A versitygw: it checks signatures of version 4, in headers and in queries, and when they end."""

    def __init__(self, plane: Plane, program: Path) -> None:
        self.plane, self.program = plane, program
        self.port = choose(1)[0]
        self.folder = plane.data / "bucket"
        (self.folder / PLACE / "sha256").mkdir(parents=True)

    def start(self) -> None:
        """Returns when it answers."""
        pair = self.plane.authority.issue("bucket", common_name="bucket")
        flags = {"port": f"127.0.0.1:{self.port}", "cert": pair.certificate, "key": pair.key, "health": "/health"}
        words = [f"--{name}={value}" for name, value in flags.items()]
        secrets = {"ROOT_ACCESS_KEY_ID": KEY, "ROOT_SECRET_ACCESS_KEY": SECRET, "VGW_REGION": REGION}
        command = (str(self.program), *words, "posix", "--nometa", str(self.folder))
        self.plane.ensure("bucket", LaunchSpec(command, secrets))
        self.plane.await_url("bucket", f"https://127.0.0.1:{self.port}/health")

    def put(self, content: bytes) -> str:
        """Lay a file into it; its digest."""
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / PLACE / "sha256" / digest).write_bytes(content)
        return digest

    def presigned(self, host: str, digest: str, since: datetime, seconds: int) -> str:
        """A URL of a file that is good for so long: AWS Signature Version 4, query parameters, GET."""
        path, day, now = f"/{PLACE}/sha256/{digest}", f"{since:%Y%m%d}", f"{since.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        scope = f"{day}/{REGION}/s3/aws4_request"
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{KEY}/{scope}", "X-Amz-Date": now,
            "X-Amz-Expires": str(seconds), "X-Amz-SignedHeaders": "host",
        }  # fmt: skip
        asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(query.items()))
        request = "\n".join(("GET", path, asked, f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"))
        hashed = hashlib.sha256(request.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashed}"
        key = f"AWS4{SECRET}".encode()
        for part in (day, REGION, "s3", "aws4_request", text):
            key = hmac.digest(key, part.encode(), "sha256")
        return f"https://{host}{path}?{asked}&X-Amz-Signature={key.hex()}"
