"""`parkade fleet`: who may be a car of a fleet."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from parkade.errors import InvalidInput, ParkadeError
from parkade.local import binaries
from parkade.local.drive import drive
from parkade.local.paths import state_directory
from parkade.local.plane import Plane

_DIRECTORY = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


class FleetRefused(ParkadeError):
    """`carlet fleet` refuses; the message is its own sentence."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fleet's keys and its link are."""

    keys: Path
    nats: str
    ca: Path | None

    def flags(self) -> list[str]:
        """As `carlet fleet` takes them."""
        return [f"--dir={self.keys}", f"--nats={self.nats}", *([f"--nats-ca={self.ca}"] if self.ca else [])]


def _placed(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that find a fleet: a local plane's directory, or keys and address by hand."""
    options = (
        click.option("--dir", "directory", type=_DIRECTORY, default=state_directory,
                     show_default="~/.local/state/parkade", help="Directory of a local plane, as of `parkade up`."),
        click.option("--keys", type=_DIRECTORY, help="Directory of `carlet fleet init`, of a fleet that is elsewhere."),
        click.option("--nats", help="URL of its link, tls://HOST:PORT."),
        click.option("--nats-ca", type=_FILE, help="CA of its link (PEM)."),
        click.option("--fleet", required=True, help="Name of the fleet."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def _place(directory: Path, keys: Path | None, nats: str | None, nats_ca: Path | None) -> Place:
    if keys is not None:
        if nats is None:
            raise InvalidInput("--keys needs --nats, the URL of the fleet's link")
        return Place(keys, nats, nats_ca)
    if not directory.exists():
        raise InvalidInput(f"no local plane is in {directory}; start one with `parkade up`, or give --keys and --nats")
    plane = Plane(directory)
    return Place(plane.fleet, plane.nats_url, plane.authority.certificate)


def _program() -> Path:
    found = None if "CARLET_BIN" in os.environ else shutil.which("carlet")
    return Path(found) if found else binaries.carlet(lambda line: click.echo(line, err=True))


def _carlet(verb: str, place: Place, *arguments: str, stdin: str | None = None) -> None:
    command: list[str] = [str(_program()), "fleet", verb, *place.flags(), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FleetRefused((done.stderr or done.stdout).strip().removeprefix("carlet: "))
    click.echo(done.stderr, nl=False, err=True)
    click.echo(done.stdout, nl=False)


@click.group()
def fleet() -> None:
    """Let cars into a fleet, and out of it; or play them."""


fleet.add_command(drive)


@fleet.command()
@_placed
@click.option("--ttl", default="720h", show_default=True, help="How long the token lets cars in.")
@click.option("--list", "listing", is_flag=True, help="List the fleet's tokens, without their secrets.")
@click.option("--revoke", help="Revoke a token by its id; cars that it let in stay.")
def token(fleet: str, ttl: str, revoke: str | None, *, listing: bool, **place: Any) -> None:  # noqa: ANN401 -- click's types
    """Make a token with which cars enrol; it is shown once and kept only as a hash."""
    how = ["--list"] if listing else [f"--revoke={revoke}"] if revoke else [f"--ttl={ttl}"]
    _carlet("token", _place(**place), f"--fleet={fleet}", *how)


@fleet.command()
@click.option("--carlet", required=True, help="https://HOST:PORT at which carlet serves models and enrols.")
@click.option("--fleet", required=True, help="Name of the fleet.")
@click.option("--id-file", required=True, type=_FILE, help="File with the car's real id; - is standard input.")
@click.option("--token-file", required=True, type=_FILE, help="File with a token of the fleet.")
@click.option("--ca", required=True, type=_FILE, help="Authority of carlet (PEM).")
@click.option("--state-dir", required=True, type=_DIRECTORY, help="State directory of the car's agent.")
def enroll(carlet: str, fleet: str, id_file: Path, token_file: Path, ca: Path, state_dir: Path) -> None:
    """Enrol the car whose agent keeps its state here; prints the pseudonym."""
    from parkade.vehicle.enrolment import enrol  # noqa: PLC0415 -- needs the extra `vehicle`

    source = Path("/dev/stdin") if str(id_file) == "-" else id_file
    click.echo(enrol(state_dir, ca, carlet, fleet, source, token_file).record.vehicle)


def _named(function: Callable[..., None]) -> Callable[..., None]:
    by_id = click.option("--id", "real_id", help="Real id of the car; - reads it from standard input.")
    return click.option("--vehicle", help="Its pseudonym, instead.")(by_id(function))


def _about(verb: str, place: Place, fleet: str, real_id: str | None, vehicle: str | None, *more: str) -> None:
    if (real_id is None) == (vehicle is None):
        raise InvalidInput("name one car, by --id or by --vehicle")
    if real_id is None:
        _carlet(verb, place, f"--fleet={fleet}", f"--vehicle={vehicle}", *more)
        return
    said = sys.stdin.readline() if real_id == "-" else real_id
    _carlet(verb, place, f"--fleet={fleet}", "--id=-", *more, stdin=said + "\n")


@fleet.command()
@_placed
@_named
@click.option("--readmit", is_flag=True, help="Let it in again by a token: a new key under its old name.")
def revoke(fleet: str, real_id: str | None, vehicle: str | None, *, readmit: bool, **place: Any) -> None:  # noqa: ANN401
    """End a car's right: its link is closed, nothing is renewed, its replicas go to others."""
    _about("revoke", _place(**place), fleet, real_id, vehicle, *(["--readmit"] if readmit else []))


@fleet.command()
@_placed
@_named
@click.option("--token", help="idToken with which the car, or its owner, authorises itself at chargers.")
@click.option(
    "--place", "bay", help="The car's own place, STATION/EVSE: who is plugged in there without a token is this car."
)
@click.option("--remove", is_flag=True, help="Take the name away.")
def name(fleet: str, real_id: str | None, vehicle: str | None, token: str | None, bay: str | None, *, remove: bool,
         **place: Any) -> None:  # noqa: ANN401  # fmt: skip
    """Let the chargers' sessions find a car, by its card or by its place; carlet keeps a hash of it."""
    if (token is None) == (bay is None):
        raise InvalidInput("give one name, by --token or by --place")
    given = f"--place={bay}" if token is None else f"--token={token}"
    _about("name", _place(**place), fleet, real_id, vehicle, given, *(["--remove"] if remove else []))


@fleet.command()
@_placed
@click.option("--source", type=click.Choice(["maker", "charger"]), help="Whose word they carry.")
@click.option("--mqtt", is_flag=True, help="A password for an MQTT client, instead of NATS credentials.")
@click.option("--ttl", default="2160h", show_default=True, help="How long the credentials are good.")
@click.option("--revoke", help="End the credentials of this public key.")
def witness(fleet: str, source: str | None, ttl: str, revoke: str | None, *, mqtt: bool, **place: Any) -> None:  # noqa: ANN401
    """Print credentials for who tells what a maker, or the chargers, see of the fleet's cars."""
    if (source is None) == (revoke is None):
        raise InvalidInput("give --source to make credentials, or --revoke to end them")
    how = [f"--revoke={revoke}"] if revoke else [f"--source={source}", f"--ttl={ttl}", *(["--mqtt"] if mqtt else [])]
    _carlet("witness", _place(**place), f"--fleet={fleet}", *how)


@fleet.command()
@_placed
@click.argument("real_id", required=False)
@click.option("--vehicle", help="Pseudonym of the car, instead of its real id.")
def forget(fleet: str, real_id: str | None, vehicle: str | None, **place: Any) -> None:  # noqa: ANN401
    """Erase a car: its right, what it said, its name. REAL_ID may be -, which reads it from standard input."""
    _about("forget", _place(**place), fleet, real_id, vehicle)
