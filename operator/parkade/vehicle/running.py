"""The agent's process: it enrols, makes the agent and its link from flags, and lives until it is told to stop."""

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, Final

import yaml

from parkade import units
from parkade.errors import InvalidInput
from parkade.vehicle import terms
from parkade.vehicle.agent import SAFE, Agent, Outfit
from parkade.vehicle.backoff import Backoff
from parkade.vehicle.books import Power
from parkade.vehicle.contract import Contract
from parkade.vehicle.enrolment import Enrolment, FleetUnavailable, enrol
from parkade.vehicle.link import Endpoint, Link
from parkade.vehicle.localapi import LocalApi, listen
from parkade.vehicle.runtime import Runtime
from parkade.vehicle.signals import Signals, change, read_replay, replay
from parkade.vehicle.tls import Certificates
from parkade.vehicle.wire import Identity

log = logging.getLogger("parkade.vehicle")

ENROL_WAITS: Final = (2.0, 120.0)
"""Seconds that bound the first and any pause between tries to enrol."""


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


async def run(options: RunOptions) -> None:
    """Be the agent of one car until SIGTERM or SIGINT."""
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


async def _enrolled(options: RunOptions, stop: asyncio.Event) -> Enrolment | None:
    """Enrol for as many tries as it takes, no sooner than the fleet asks for: many cars are installed in one hour."""
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


def _enrolment(options: RunOptions) -> Enrolment | None:
    """Find the car's enrolment, or make it where a fleet's address is given; None with credentials of others."""
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


def _completed(options: RunOptions, enrolment: Enrolment | None) -> RunOptions:
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


async def _live(agent: Agent, link: Link, replaying: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
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


def _agent(options: RunOptions) -> Agent:
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


def _runtime(options: RunOptions) -> Runtime:
    if options.runtime == "triton":
        from parkade.vehicle.triton import TritonRuntime  # noqa: PLC0415

        return TritonRuntime(options.triton_url)
    from parkade.vehicle.batching import BatchingRuntime  # noqa: PLC0415
    from parkade.vehicle.runtime import OnnxRuntime  # noqa: PLC0415

    cores = len(os.sched_getaffinity(0))
    return BatchingRuntime(OnnxRuntime(), options.slots, cores) if options.slots > cores else OnnxRuntime()


def _certificates(options: RunOptions) -> Certificates:
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
