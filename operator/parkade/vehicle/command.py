"""`parkade vehicle`: the agent in the car, and what its owner asks of it."""

import asyncio
import json
import logging
import os
import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import yaml

from parkade import units
from parkade.errors import InvalidInput, Unavailable
from parkade.vehicle import terms
from parkade.vehicle.backoff import Backoff
from parkade.vehicle.contract import Contract
from parkade.vehicle.signals import Link as Uplink
from parkade.vehicle.signals import Signals, change, read_replay, replay

if TYPE_CHECKING:
    from parkade.vehicle.agent import Agent
    from parkade.vehicle.enrolment import Enrolment
    from parkade.vehicle.link import Link

log = logging.getLogger("parkade.vehicle")

ANSWER_TIMEOUT: Final = 5.0
"""Seconds for the agent on this machine to answer."""

ENROL_WAITS: Final = (2.0, 120.0)
"""Seconds that bound the first and any pause between tries to enrol."""
ENVIRONMENT: Final = {"auto_envvar_prefix": "PARKADE_VEHICLE"}
_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_WATTS: Final = click.FloatRange(0, 10_000)
_CELSIUS: Final = click.FloatRange(-60, 150)
_DIRECTORY: Final = click.Path(path_type=Path, file_okay=False)


class AgentUnavailable(Unavailable):
    """No agent answers for this state directory."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The flags of `parkade vehicle run`, as click read them."""

    id: str | None
    fleet: str | None
    hardware: str
    memory: str
    slots: int
    link: str
    nats: str
    nats_creds: Path | None
    ca: Path
    cert: Path | None
    key: Path | None
    enroll_at: str | None
    token_file: Path | None
    real_id_file: Path | None
    state_dir: Path
    api: str
    signals: Path | None
    beat: str
    contract: Path | None
    disk: str
    download_rate: str | None
    runtime: str
    triton_url: str
    compute_watts: float
    awake_watts: float
    asleep_watts: float
    wh_per_km: float
    min_celsius: float
    max_celsius: float


@click.group()
def vehicle() -> None:
    """Run the agent in the car, or ask it."""


@vehicle.command(context_settings=ENVIRONMENT)
@click.option("--id", help="Pseudonym of a car whose credentials others keep; an enrolled car has its own.")
@click.option("--fleet", help="Fleet of the car; an enrolled car knows its own.")
@click.option("--hardware", required=True, help="Name of the inference computer, as pools declare it.")
@click.option("--memory", default="8Gi", show_default=True, help="Bytes that models may take.")
@click.option("--slots", default=1, show_default=True, type=click.IntRange(1, 16), help="Requests at a time.")
@click.option("--link", type=click.Choice(list(Uplink)), default="WiFi", show_default=True)
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
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they log URLs, and ours carry signatures
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of nats-py's stream at every goodbye over TLS
    asyncio.run(_run(RunOptions(**flags)))


async def _run(options: RunOptions) -> None:
    from parkade.vehicle.link import Endpoint, Link  # noqa: PLC0415 -- only the agent needs NATS
    from parkade.vehicle.localapi import LocalApi, listen  # noqa: PLC0415

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    moments = read_replay(options.signals) if options.signals else ()
    enrolment = await _enrolled(options, stop)
    if stop.is_set():
        return
    options = _completed(options, enrolment)
    agent = _agent(options)
    for moment in moments:
        if moment.at == 0:
            agent.change_signals(moment.fields)
    endpoint = Endpoint(options.nats, options.nats_creds, _certificates(options).context, enrolment)
    link = Link(agent.identity, endpoint, agent.receive)
    link.hello, link.state, link.carried = agent.hello, agent.state, agent.carried
    agent.on_news, agent.on_ask = link.news, link.ask
    listener = await listen(LocalApi(agent, link, agent.notebook.token()), options.api)
    agent.notebook.write_json("api.json", {"api": listener.place})
    log.info("the agent is up; local API at %s", listener.place)
    try:
        await _live(agent, link, replay(moments, agent.change_signals), stop)
    finally:
        await listener.close()
        await agent.close()
        log.info("the agent stopped")


async def _enrolled(options: RunOptions, stop: asyncio.Event) -> "Enrolment | None":
    """Enrol for as many tries as it takes, no sooner than the fleet asks for: many cars are installed in one hour."""
    from parkade.vehicle.enrolment import FleetUnavailable  # noqa: PLC0415 -- only the agent needs cryptography

    backoff = Backoff(*ENROL_WAITS)
    while True:
        try:
            return await asyncio.to_thread(_enrolment, options)
        except FleetUnavailable as error:
            pause = backoff.pause(asked=error.retry_after)
            log.warning("the car is not enrolled yet and asks again in %.0f s: %s", pause, error)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
        if stop.is_set():
            return None


def _enrolment(options: RunOptions) -> "Enrolment | None":
    """Find the car's enrolment, or make it where a fleet's address is given; None with credentials of others."""
    from parkade.vehicle.enrolment import Enrolment, enrol  # noqa: PLC0415 -- only the agent needs cryptography

    if options.nats_creds is not None or options.id is not None:
        return None
    found = Enrolment.find(options.state_dir, options.ca)
    if found is not None or options.enroll_at is None:
        return found
    if options.token_file is None or options.real_id_file is None or options.fleet is None:
        raise InvalidInput("--enroll-at needs --fleet, --token-file and --real-id-file")
    return enrol(
        options.state_dir, options.ca, options.enroll_at, options.fleet, options.real_id_file, options.token_file
    )


def _completed(options: RunOptions, enrolment: "Enrolment | None") -> RunOptions:
    """Fill in what an enrolment holds; without one the flags must say it."""
    if enrolment is not None:
        return replace(
            options, id=enrolment.record.vehicle, fleet=enrolment.record.fleet, nats_creds=enrolment.credentials,
            cert=enrolment.certificate, key=enrolment.key,
        )  # fmt: skip
    if None in (options.id, options.fleet, options.cert, options.key):
        raise InvalidInput(
            f"the car of {options.state_dir} is not enrolled; run `parkade fleet enroll`, or give --enroll-at, "
            "or --id, --fleet, --cert and --key"
        )
    return options


async def _live(agent: "Agent", link: "Link", replaying: Any, stop: asyncio.Event) -> None:  # noqa: ANN401 -- a coroutine
    """Run until asked to stop; a task that fails takes the agent down, so that its supervisor starts it anew."""
    tasks = [asyncio.create_task(work) for work in (agent.run(), link.run(), stop.wait())]
    player = asyncio.create_task(replaying)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (*tasks, player):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _agent(options: RunOptions) -> "Agent":
    from parkade.vehicle.agent import SAFE, Agent, Outfit  # noqa: PLC0415 -- only the agent needs the machinery
    from parkade.vehicle.books import Power  # noqa: PLC0415
    from parkade.vehicle.wire import Identity  # noqa: PLC0415

    try:
        identity = Identity(
            options.id or "", options.fleet or "", options.hardware, units.in_bytes(options.memory), options.slots,
            units.seconds(options.beat),
        )  # fmt: skip
        disk = units.in_bytes(options.disk)
        most = float(units.in_bytes(options.download_rate)) if options.download_rate else inf
        if not most:
            raise InvalidInput("--download-rate 0 lets no model come; leave it out, or write for example 500Ki")
    except ValueError as error:
        raise InvalidInput(str(error)) from error
    certificates = _certificates(options)
    certificates.context()
    signals = change(Signals(), {"link": options.link}, 0.0)
    installed = _installed(options.contract)
    power = Power(options.compute_watts, options.awake_watts, options.asleep_watts, options.wh_per_km)
    safe = replace(SAFE, min_celsius=options.min_celsius, max_celsius=options.max_celsius)
    return Agent(
        Outfit(
            identity, options.state_dir, certificates, _runtime(options), installed, signals, disk,
            safe, power, most, recall=options.signals is None,
        )
    )  # fmt: skip


def _runtime(options: RunOptions) -> Any:  # noqa: ANN401 -- a `Runtime`, whose module is heavy
    if options.runtime == "triton":
        from parkade.vehicle.triton import TritonRuntime  # noqa: PLC0415

        return TritonRuntime(options.triton_url)
    from parkade.vehicle.batching import BatchingRuntime  # noqa: PLC0415
    from parkade.vehicle.runtime import OnnxRuntime  # noqa: PLC0415

    cores = len(os.sched_getaffinity(0))
    return BatchingRuntime(OnnxRuntime(), options.slots, cores) if options.slots > cores else OnnxRuntime()


def _certificates(options: RunOptions) -> Any:  # noqa: ANN401 -- `Certificates`
    from parkade.vehicle.tls import Certificates  # noqa: PLC0415

    return Certificates(options.ca, options.cert, options.key)


def _installed(path: Path | None) -> Contract | None:
    if path is None:
        return None
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"the contract {path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"the contract {path} is not a mapping of terms")
    return terms.read(found)


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
