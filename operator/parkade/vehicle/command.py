"""`parkade vehicle`: the agent in the car, and what its owner asks of it."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any, Final

import click

from parkade.errors import InvalidInput, Unavailable
from parkade.vehicle.signals import Link

ANSWER_TIMEOUT: Final = 5.0
"""Seconds for the agent on this machine to answer."""

ENVIRONMENT: Final = {"auto_envvar_prefix": "PARKADE_VEHICLE"}
_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_WATTS: Final = click.FloatRange(0, 10_000)
_CELSIUS: Final = click.FloatRange(-60, 150)
_DIRECTORY: Final = click.Path(path_type=Path, file_okay=False)


class AgentUnavailable(Unavailable):
    """No agent answers for this state directory."""


@click.group()
def vehicle() -> None:
    """Run the agent in the car, or ask it."""


@vehicle.command(context_settings=ENVIRONMENT)
@click.option("--id", help="Pseudonym of a car whose credentials others keep; an enrolled car has its own.")
@click.option("--fleet", help="Fleet of the car; an enrolled car knows its own.")
@click.option("--hardware", required=True, help="Name of the inference computer, as pools declare it.")
@click.option("--memory", default="8Gi", show_default=True, help="Bytes that models may take.")
@click.option("--slots", default=1, show_default=True, type=click.IntRange(1, 16), help="Requests at a time.")
@click.option("--link", type=click.Choice(list(Link)), default="WiFi", show_default=True)
@click.option("--nats", required=True, help="URL of the fleet link.")
@click.option("--nats-creds", type=_FILE, help="Credentials that others keep fresh; an enrolled car has its own.")
@click.option("--ca", required=True, type=_FILE, help="Authority of NATS, routers and the model store (PEM).")
@click.option("--cert", type=_FILE, help="The car's certificate (PEM); an enrolled car has its own.")
@click.option("--key", type=_FILE, help="Its key (PEM).")
@click.option("--enroll-at", help="https://HOST:PORT at which a car that is not enrolled yet enrols itself first.")
@click.option("--token-file", type=_FILE, help="File with a token of the fleet, for --enroll-at.")
@click.option("--real-id-file", type=_FILE, help="File with the car's real id, for --enroll-at; it is not kept.")
@click.option("--state-dir", required=True, type=_DIRECTORY, help="What the agent remembers over a restart.")
@click.option("--api", default="127.0.0.1:0", show_default=True, help="Local API: 127.0.0.1:PORT or unix:PATH.")
@click.option("--signals", type=_FILE, help="Replay file of the car's signals (JSON lines).")
@click.option("--beat", default="60s", show_default=True, help="Time between signs of life.")
@click.option("--contract", type=_FILE, help="Terms that the pool may not loosen (YAML or JSON, as in spec.contract).")
@click.option("--disk", default="4Gi", show_default=True, help="Bytes of disk that models may take.")
@click.option("--download-rate", help="Most bytes a second that downloads may take, for example 500Ki; default: a "
              "share of what the link is measured to carry.")  # fmt: skip
@click.option("--runtime", type=click.Choice(["onnxruntime", "triton"]), default="onnxruntime", show_default=True)
@click.option("--triton-url", default="127.0.0.1:8000", show_default=True, help="HTTP address of the car's own Triton.")
@click.option("--compute-watts", default=100.0, show_default=True, type=_WATTS, help="The busy inference computer.")
@click.option("--awake-watts", default=250.0, show_default=True, type=_WATTS, help="The awake parked car without it.")
@click.option("--asleep-watts", default=5.0, show_default=True, type=_WATTS, help="The sleeping car.")
@click.option("--wh-per-km", default=140.0, show_default=True, type=click.FloatRange(50, 1000),
              help="Battery energy of one kilometre.")  # fmt: skip
@click.option("--min-celsius", default=-20.0, show_default=True, type=_CELSIUS, help="Coldest computer that may work.")
@click.option("--max-celsius", default=70.0, show_default=True, type=_CELSIUS, help="Hottest computer that may work.")
def run(**flags: Any) -> None:  # noqa: ANN401 -- click's types are those of RunOptions
    """Be the agent of one car until stopped; every flag is also an environment variable PARKADE_VEHICLE_<FLAG>."""
    from parkade.vehicle import running  # noqa: PLC0415 -- only the agent needs its machinery

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they log URLs, and ours carry signatures
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of nats-py's stream at every goodbye over TLS
    asyncio.run(running.run(running.RunOptions(**flags)))


_state_dir = click.option(
    "--state-dir",
    required=True,
    type=_DIRECTORY,
    envvar="PARKADE_VEHICLE_STATE_DIR",
    help="The agent's state directory.",
)
_output = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)


@vehicle.command()
@_state_dir
@_output
def status(state_dir: Path, output: str) -> None:
    """Show what runs, what it used, and why nothing runs."""
    _show(_ask(state_dir, "GET", "status"), output)


def _verb(name: str, sentence: str) -> None:
    @vehicle.command(name, help=sentence)
    @_state_dir
    @_output
    def verb(state_dir: Path, output: str) -> None:
        _show(_ask(state_dir, "POST", name), output)

    del verb  # click holds it


_verb("pause", "Let the car rest until `resume`; what runs is drained at once.")
_verb("resume", "End the pause.")
_verb("unplug", "Pull the cable: announce departure and drain at once.")
_verb("plug", "Put the cable in and offer the car again.")
_verb("forget-history", "Forget the stays at the plug from which departures are forecast.")


@vehicle.command()
@_state_dir
@_output
@click.option("--plugged-in-only", is_flag=True, help="Work only while plugged in.")
@click.option("--min-soc", type=click.FloatRange(0, 100), help="Least state of charge in percent.")
@click.option("--links", help="Links allowed, by commas.")
@click.option("--quiet-hours", help="Nothing wakes the car in this span, for example 22:00-06:00.")
@click.option("--ready-before", help="Idle this long before a declared departure, for example 30m.")
@click.option("--max-range-loss", type=click.FloatRange(0, 1000), help="Kilometres of range a day, off the plug.")
@click.option("--data-cap", help="Bytes a day over all links, for example 500Mi.")
@click.option("--energy-price", help="What electricity costs you, $/kWh; the car rests where the pool pays less.")
@click.option("--min-celsius", type=_CELSIUS, help="Coldest computer that may work.")
@click.option("--max-celsius", type=_CELSIUS, help="Hottest computer that may work.")
def tighten(state_dir: Path, output: str, **chosen: Any) -> None:  # noqa: ANN401 -- click's types
    """Set the owner's own terms; none may be looser than the pool's contract."""
    wanted = {
        "requirePluggedIn": True if chosen["plugged_in_only"] else None,
        "minStateOfCharge": chosen["min_soc"],
        "links": [name.strip() for name in chosen["links"].split(",")] if chosen["links"] else None,
        "quietHours": chosen["quiet_hours"],
        "readyBefore": chosen["ready_before"],
        "maxRangeLossPerDay": chosen["max_range_loss"],
        "dataCapPerDay": chosen["data_cap"],
        "energyPrice": chosen["energy_price"],
        "netPositive": True if chosen["energy_price"] else None,
        "minCelsius": chosen["min_celsius"],
        "maxCelsius": chosen["max_celsius"],
    }
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if not wanted:
        raise InvalidInput("no term is given; write for example --min-soc 60")
    _show(_ask(state_dir, "POST", "tighten", wanted), output)


def _ask(state_dir: Path, method: str, verb: str, body: Any = None) -> dict[str, Any]:  # noqa: ANN401 -- JSON
    """Ask the agent that keeps this state directory.

    Raises:
        AgentUnavailable: none answers.
        InvalidInput: it refuses, with its sentence.
    """
    import httpx  # noqa: PLC0415 -- `parkade --help` stays instant

    try:
        place = json.loads((state_dir / "api.json").read_text())["api"]
        token = (state_dir / "token").read_text().strip()
    except (OSError, ValueError, KeyError) as error:
        raise AgentUnavailable(
            f"no agent keeps its state in {state_dir}; start one with `parkade vehicle run`"
        ) from error
    socket = place.removeprefix("unix:") if place.startswith("unix:") else None
    base = "http://vehicle" if socket else f"http://{place}"
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=socket), timeout=ANSWER_TIMEOUT, trust_env=False) as client:
            answer = client.request(
                method, f"{base}/v1/{verb}", json=body, headers={"authorization": f"Bearer {token}"}
            )
            found: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise AgentUnavailable(f"the agent of {state_dir} does not answer at {place}; is it running?") from error
    if answer.status_code != httpx.codes.OK:
        raise InvalidInput(str(found.get("error", "the agent refuses")))
    return found


def _show(found: dict[str, Any], output: str) -> None:
    if output == "json":
        click.echo(json.dumps(found, indent=2))
        return
    from parkade.vehicle import statement  # noqa: PLC0415 -- only a terminal needs it

    click.echo(statement.text(found))
