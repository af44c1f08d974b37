"""Messages of the fleet link, parsed at the edge into frozen values and written from them; version 1.

Whatever is not a whole, bounded, well-formed message is `Garbage`: the car keeps what it last understood. Unknown
fields are ignored, so that a newer carlet may say more.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from parkade.errors import InvalidInput
from parkade.vehicle import terms
from parkade.vehicle.contract import Contract

VERSION: Final = 1
OLDEST: Final = 1
"""Oldest version of carlet's messages that is understood: two back from `VERSION`, once there are that many."""
MAX_MESSAGE: Final = 256 * 1024
"""Bytes; a full set of `MAX_ASSIGNMENTS` fits several times."""
MAX_ASSIGNMENTS: Final = 64
MAX_STAGED: Final = 16
MAX_MODEL: Final = 64 * 2**30
"""Bytes of one artifact or of its memory."""

_LARGEST_TERM: Final = 2**63 - 1
_MOST_SUPPORTED: Final = 16
_LONGEST_NAME: Final = 64

DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_WORKLOAD: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}/[a-z0-9][a-z0-9.-]{0,252}")
TOKEN: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
_CELL: Final = re.compile(r"([a-z0-9][a-z0-9.-]{0,252})?")
_REVISION: Final = re.compile(r"[A-Za-z0-9._:-]{0,128}")
_ADDRESS: Final = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9a-fA-F:]{2,45}\]):([0-9]{1,5})")
_URL: Final = re.compile(r"(https://[!-~]{1,4096})?")


class Garbage(InvalidInput):
    """A message that cannot be meant; it is counted, logged and otherwise ignored."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One model that this car should hold ready for one workload."""

    workload: str
    model: str
    """What callers name in `/v2/models/NAME`."""
    digest: str
    size: int
    """Bytes of the artifact."""
    format: str
    memory: int
    """Bytes that the loaded model needs."""
    url: str
    """Where the artifact is now; empty while nobody has it. Signed, so it must never be logged."""
    router: str
    """`HOST:PORT` of the workload's owner router; empty while there is none."""

    @property
    def key(self) -> tuple[str, str]:
        """What makes two assignments the same replica."""
        return (self.workload, self.digest)


@dataclass(frozen=True, slots=True)
class Staged:
    """One file that this car should have ready without serving it."""

    digest: str
    size: int
    """Bytes of the artifact."""
    format: str
    url: str
    """As an assignment's."""


@dataclass(frozen=True, slots=True)
class Desired:
    """The full set that this car should hold; anything not in it should go."""

    cell: str
    revision: str
    assignments: tuple[Assignment, ...]
    contract: Contract | None = None
    """The pool's; None from a carlet that knows no pool for this car."""
    energy_price: float | None = None
    """$/kWh that the pool pays for electricity at the plug; None where it is not told."""
    payout: float | None = None
    """$ per hour of work beyond the electricity; None where it is not told."""
    term: int = 0
    """Grows whenever another carlet takes the car's cell over; 0 from a carlet that knows no others."""
    stage: tuple[Staged, ...] = ()
    """Files to fetch ahead of need; an older carlet names none."""


def read_desired(payload: bytes) -> Desired:
    """Read a `desired` message.

    Raises:
        Garbage: it is not one, or a part of it is out of bounds; nothing of it may be used.
    """
    if len(payload) > MAX_MESSAGE:
        raise Garbage(f"a desired set of {len(payload)} bytes is larger than {MAX_MESSAGE}")
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise Garbage("a desired set is not JSON") from error
    if not _understood(message):
        raise Garbage(f"a desired set is not an object of version {OLDEST} to {VERSION}")
    entries = message.get("assignments")
    if not isinstance(entries, list) or len(entries) > MAX_ASSIGNMENTS:
        raise Garbage(f"assignments is not a list of at most {MAX_ASSIGNMENTS}")
    assignments = tuple(read_assignment(entry) for entry in entries)
    if len({assignment.workload for assignment in assignments}) != len(assignments):
        raise Garbage("two assignments name one workload")
    contract = _contract(message.get("contract"))
    return Desired(
        _text(message, "cell", _CELL), _text(message, "revision", _REVISION), assignments, contract,
        _price(message, "energyPrice", "perKWh"), _price(message, "payout", "perComputeHour"), _term(message),
        _stage(message.get("stage", [])),
    )  # fmt: skip


def _stage(entries: object) -> tuple[Staged, ...]:
    if not isinstance(entries, list) or len(entries) > MAX_STAGED:
        raise Garbage(f"stage is not a list of at most {MAX_STAGED}")
    if not all(isinstance(entry, dict) for entry in entries):
        raise Garbage("a file to stage is not an object")
    return tuple(
        Staged(
            _text(entry, "digest", DIGEST), _count(entry, "bytes"), _text(entry, "format", _NAME),
            _text({"url": entry.get("url") or ""}, "url", _URL),
        )
        for entry in entries
    )  # fmt: skip


def _term(message: dict[str, Any]) -> int:
    value = message.get("term", 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST_TERM:
        raise Garbage(f"term is not a whole number up to {_LARGEST_TERM}")
    return value


def _price(message: dict[str, Any], part: str, field: str) -> float | None:
    """Money as in manifests; what is not there is not told, such as a price that only a series has."""
    found = message.get(part)
    value = found.get(field) if isinstance(found, dict) else None
    if value is None:
        return None
    try:
        return terms.price(f"{part}.{field}", value)
    except InvalidInput as error:
        raise Garbage(str(error)) from error


def _understood(message: object) -> TypeGuard[dict[str, Any]]:
    version = message.get("v") if isinstance(message, dict) else None
    return isinstance(version, int) and not isinstance(version, bool) and OLDEST <= version <= VERSION


@dataclass(frozen=True, slots=True)
class Supported:
    """What carlet understands, said when it did not understand all of a hello."""

    versions: tuple[int, ...]
    unknown: tuple[str, ...]
    """Fields of the hello that it does not read."""

    def sentence(self) -> str:
        """Return what that means for this car."""
        if VERSION not in self.versions:
            spoken = ", ".join(str(version) for version in self.versions)
            return f"carlet speaks protocol {spoken} and not {VERSION}: it does not hear this car; update one of them"
        return f"carlet is older and does not read {', '.join(self.unknown) or 'all'} of a hello; the rest works"


def read_supported(payload: bytes) -> Supported:
    """Read a `supported` message, of any version: its fields are those by which versions are found out.

    Raises:
        Garbage: it is not one.
    """
    try:
        message = json.loads(payload) if len(payload) <= MAX_MESSAGE else None
    except (ValueError, RecursionError) as error:
        raise Garbage("supported is not JSON") from error
    versions = message.get("versions") if isinstance(message, dict) else None
    unknown = message.get("unknown", []) if isinstance(message, dict) else None
    if not isinstance(versions, list) or not isinstance(unknown, list):
        raise Garbage("supported is not an object with versions")
    return Supported(
        tuple(version for version in versions[:_MOST_SUPPORTED] if isinstance(version, int)),
        tuple(name[:_LONGEST_NAME] for name in unknown[:_MOST_SUPPORTED] if isinstance(name, str)),
    )


def _contract(told: object) -> Contract | None:
    if told is None:
        return None
    if not isinstance(told, dict):
        raise Garbage("contract is not an object")
    try:
        return terms.read_told(told)
    except InvalidInput as error:
        raise Garbage(f"contract: {error}") from error


def read_assignment(entry: object) -> Assignment:
    """Read one entry of a desired set.

    Raises:
        Garbage: it is not one, or a part of it is out of bounds.
    """
    if not isinstance(entry, dict):
        raise Garbage("an assignment is not an object")
    router = _text({"router": entry.get("router") or ""}, "router", re.compile(f"({_ADDRESS.pattern})?"))
    if router and not 0 < address(router)[1] < 65536:
        raise Garbage("router has a port that does not exist")
    return Assignment(
        workload=_text(entry, "workload", _WORKLOAD),
        model=_text(entry, "model", _NAME),
        digest=_text(entry, "digest", DIGEST),
        size=_count(entry, "bytes"),
        format=_text(entry, "format", _NAME),
        memory=_count(entry, "memory"),
        url=_text({"url": entry.get("url") or ""}, "url", _URL),
        router=router,
    )


def _text(fields: dict[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Garbage(f"{name} is missing or malformed")
    return value


def _count(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_MODEL:
        raise Garbage(f"{name} is not a whole number of bytes up to {MAX_MODEL}")
    return value


def address(text: str) -> tuple[str, int]:
    """Split `HOST:PORT`; an IPv6 host loses its brackets."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


@dataclass(frozen=True, slots=True)
class Identity:
    """What the car is; it changes only with a new enrolment."""

    vehicle: str
    """A pseudonym, never a VIN."""
    fleet: str
    hardware: str
    memory: int
    """Bytes that models may take."""
    slots: int
    beat: float
    """Seconds between beats."""

    def __post_init__(self) -> None:
        """Refuse what is no token of a subject: it would speak for somebody else.

        Raises:
            InvalidInput: a name is malformed.
        """
        for what, name in (("id", self.vehicle), ("fleet", self.fleet)):
            if not TOKEN.fullmatch(name):
                raise InvalidInput(
                    f"--{what} {name!r} must be 1 to 64 lower-case letters, digits and dashes; choose another name"
                )

    def subject(self, message: str) -> str:
        """Return the NATS subject of one of this car's messages."""
        return f"parkade.v1.{self.fleet}.{self.vehicle}.{message}"


def write_hello(identity: Identity, cell: str, models: Sequence[str], revision: str) -> dict[str, Any]:
    """Return who is here and what it holds; the answer is the full desired set."""
    return {
        "v": VERSION,
        "vehicle": identity.vehicle,
        "fleet": identity.fleet,
        "hardware": identity.hardware,
        "memory": identity.memory,
        "slots": identity.slots,
        "beatSeconds": _whole(identity.beat),
        "cell": cell,
        "models": sorted(models),
        "desired": revision,
    }


def write_beat(identity: Identity, sequence: int) -> dict[str, Any]:
    """Return the sign of life."""
    return {"v": VERSION, "seq": sequence, "beatSeconds": _whole(identity.beat)}


def _whole(seconds: float) -> float | int:
    return int(seconds) if seconds == int(seconds) else seconds


def encode(message: dict[str, Any]) -> bytes:
    """Write one message."""
    return json.dumps(message, separators=(",", ":")).encode()
