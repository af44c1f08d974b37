"""What the car wrote down of its work: time, totals, the day's account, and why it rested.

No crash may give an allowance twice. So what may be spent before the next write is written ahead, as a reserve: the
work goes on within it, and after a crash it counts as spent.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from parkade.vehicle.clock import Clock, Sources, amount
from parkade.vehicle.contract import Contract, Spent
from parkade.vehicle.day import Day
from parkade.vehicle.distrust import Distrust
from parkade.vehicle.history import History
from parkade.vehicle.notebook import Notebook
from parkade.vehicle.reasons import Reason, Refusal
from parkade.vehicle.signals import Signals, State
from parkade.vehicle.usage import Usage
from parkade.vehicle.wire import Assignment

log = logging.getLogger(__name__)

SAVE: Final = 30.0
"""Seconds between saves; a crash forgets at most these of the totals, and nothing of the allowances."""
RESERVE_WH: Final = 5.0
RESERVE_BYTES: Final = 64 * 2**20
RESERVE_SHARE: Final = 1 / 16
"""Written ahead: so much energy and so many bytes, and never more than this share of what the contract allows a day."""

JUMP: Final = 60.0
"""Seconds by which the wall clock may run ahead before that is written down."""

COMPUTE_WATTS: Final = 100.0
"""Power of one busy in-car computer above the awake car: 80 to 100 W are published for hw4, none measured."""


@dataclass(frozen=True, slots=True)
class Power:
    """What this car draws; its own numbers, which no pool can change. The defaults are those of `VehicleNodePool`."""

    compute_watts: float = COMPUTE_WATTS
    """The busy inference computer, above the awake car."""
    awake_watts: float = 250.0
    """The awake parked car without inference."""
    asleep_watts: float = 5.0
    wh_per_km: float = 140.0
    """Battery energy of a kilometre: 140 for a Model Y, 150 to 160 for a Model 3; the least loses the most range."""


class Books:
    """Time, totals, day and history, with what keeps them over a restart; all but `usage.busy` is for one thread."""

    def __init__(self, notebook: Notebook, power: Power, sources: Sources) -> None:
        self.clock = Clock(sources)
        self.usage = Usage(power.compute_watts, sources.running)
        self.day = Day()
        self.history = History()
        self.distrust = Distrust()
        self.power = power
        self.failure: Refusal | None = None
        """Why the car may not work: what it spends cannot be written down."""
        self.on_spent: Callable[[], None] = lambda: None
        """Told when what was carried calls for a look at the contract, or for a save."""
        self._notebook = notebook
        self._pending: dict[str, object] = {}
        """Files that could not be written, to be tried again."""
        self._settled = self.clock.running
        self._busy = 0.0
        self._reserve = (0.0, 0)
        """Watt-hours of the battery and bytes that the file counts as spent beyond what was."""
        self._unsaved = [0.0, 0]
        self._left: float = 0
        """Bytes until the contract's cap, as of the last look."""
        self._due = False
        self._saved_at = self.clock.running
        self._restore()
        self._saved_time = (self.clock.elapsed, self.clock.latest)

    def _restore(self) -> None:
        self.usage.restore(self._notebook.read_json("usage.json"))
        rows = self._notebook.read_json("history.json").get("changes")
        self.history.restore(rows if isinstance(rows, list) else ())
        words = self._notebook.read_json("distrust.json").get("words")
        self.distrust.restore(words if isinstance(words, list) else ())
        if self._notebook.read("day.json") is None:
            return
        held = self._notebook.read_json("day.json")
        try:
            self.clock.restore(held["clock"])
            self.day.restore(held["day"], self.clock.elapsed)
            last = self.day.at(self.clock.elapsed)
            last.battery_wh += amount(held["reserve"]["batteryWh"])
            spare = int(amount(held["reserve"]["bytes"]))
            if spare:
                last.bytes["unsaved"] = last.bytes.get("unsaved", 0) + spare
        except (ValueError, KeyError, TypeError, AttributeError):
            log.warning(
                "the account of the day is damaged; what the contract allows a day counts as spent for 24 hours"
            )
            self.day = Day()
            self.day.at(self.clock.elapsed).unknown = True

    def settle(self, signals: Signals, awake: bool, reason: str) -> None:  # noqa: FBT001 -- a fact of the interval
        """Count what ran since the last call.

        Args:
            signals: those that held meanwhile.
            awake: whether our work kept the car from sleeping meanwhile.
            reason: why the car rested meanwhile; empty where it did not.
        """
        running, busy = self.clock.running, self.usage.busy_seconds
        passed, worked = max(0.0, running - self._settled), max(0.0, busy - self._busy)
        self._settled, self._busy = running, busy
        wh = marginal_wh(self.power, signals.state, passed if awake else 0.0, worked)
        bucket = self.day.at(self.clock.elapsed)
        bucket.wh += wh
        bucket.seconds[reason] = bucket.seconds.get(reason, 0.0) + passed
        if not signals.plugged_in:
            bucket.battery_wh += wh
            self._unsaved[0] += wh

    def carry(self, link: str, size: int) -> None:
        """Count bytes of either direction over a link."""
        bucket = self.day.at(self.clock.elapsed)
        bucket.bytes[link] = bucket.bytes.get(link, 0) + size
        self._unsaved[1] += size
        self._left -= size
        if not self._due and (self._left <= 0 or (self._reserve[1] and self._unsaved[1] >= self._reserve[1])):
            self._due = True
            self.on_spent()

    def spent(self, contract: Contract) -> Spent:
        """Return the account of the last 24 hours, and when the contract's allowances will not be spent any more."""
        elapsed = self.clock.elapsed
        total = self.day.sum(elapsed)
        battery_wh, carried = (inf, inf) if total.unknown else (total.battery_wh, float(total.carried))
        return Spent(
            battery_wh / self.power.wh_per_km,
            carried,
            self.day.returns(elapsed, "battery_wh", contract.max_range_loss_per_day * self.power.wh_per_km),
            self.day.returns(elapsed, "carried", contract.data_cap_per_day),
        )

    def keep(self, contract: Contract, at_work: bool) -> None:  # noqa: FBT001 -- a fact
        """Save where it is time, before the reserve is spent, and before work begins; a failure is a refusal.

        Args:
            contract: the terms that hold, whose allowances bound the reserve.
            at_work: whether anything runs or is about to.
        """
        self._due = False
        self._left = contract.data_cap_per_day - self.day.sum(self.clock.elapsed).carried
        wh, size = self._reserve
        begins = at_work and not (wh or size)
        spent = at_work and (self._unsaved[0] >= wh or self._unsaved[1] >= size)
        old = self.clock.running - self._saved_at >= SAVE
        if begins or spent or old or self.failure or self._clock_was_set():
            self.save(contract if at_work else None, totals=old)

    def _clock_was_set(self) -> bool:
        """Whether the wall shows more than it could since the last save: a crash must not forget that it did."""
        elapsed, latest = self._saved_time
        now = self.clock.look().elapsed
        return self.clock.latest - latest > now - elapsed + JUMP

    def save(self, contract: Contract | None, *, totals: bool = True) -> None:
        """Write the account down, with a reserve for work under the contract; None where nothing runs.

        Args:
            contract: the terms that hold.
            totals: whether to write what no allowance depends on, too.
        """
        reserve = (0.0, 0)
        if contract is not None:
            range_wh = contract.max_range_loss_per_day * self.power.wh_per_km
            most = min(RESERVE_BYTES, contract.data_cap_per_day * RESERVE_SHARE)
            reserve = (max(min(RESERVE_WH, range_wh * RESERVE_SHARE), 1e-3), max(int(most), 1))
        account_time = self.clock.saved()
        account = {
            "clock": account_time,
            "day": self.day.shown(),
            "reserve": {"batteryWh": reserve[0], "bytes": reserve[1]},
        }
        files: dict[str, object] = {"day.json": account}
        if totals:
            self._saved_at = self.clock.running
            files["usage.json"] = self.usage.shown()
        if self.write(files):
            self._reserve, self._unsaved = reserve, [0.0, 0]
            self._saved_time = (account_time["elapsed"], account_time["latest"])

    def note(self, refusal: Refusal | None) -> None:
        """Take the car's present word into the history."""
        if self.history.note(refusal, self.clock.look().now):
            self.write({"history.json": {"changes": self.history.shown()}})

    def disbelieved(self, assignment: Assignment, refusal: Refusal) -> None:
        """Remember what a router says of this car's answers."""
        self.distrust.note(assignment, refusal, self.clock.look())
        self.write({"distrust.json": {"words": self.distrust.saved()}})

    def write(self, files: Mapping[str, object]) -> bool:
        """Write JSON files, bytes as they are; whether all are written. One that fails is a refusal until it is."""
        self._pending |= files
        try:
            for name, value in list(self._pending.items()):
                if isinstance(value, bytes):
                    self._notebook.write(name, value)
                else:
                    self._notebook.write_json(name, value)
                del self._pending[name]
        except OSError as error:
            if self.failure is None:
                log.warning("what the car must remember cannot be written down (%s); it rests", error.strerror)
            self.failure = Refusal(
                Reason.NotebookFails,
                f"the state directory cannot be written ({error.strerror}); free or mend its disk",
            )
            return False
        self.failure = None
        return True


def marginal_wh(power: Power, state: State, kept_awake: float, busy: float) -> float:
    """Return the watt-hours that the car would not have used without us.

    Awake and charging cars would be awake anyway and pay for compute alone; one that would sleep pays for being awake
    too, as in the planner's vehicle supply.

    Args:
        power: what the car draws.
        state: what the car would do without us.
        kept_awake: seconds in which our work kept it awake.
        busy: seconds in which the computer worked.
    """
    waking = power.awake_watts - power.asleep_watts if state is State.Asleep else 0.0
    return (waking * kept_awake + power.compute_watts * busy) / 3600.0


def shown_day(books: Books) -> dict[str, Any]:
    """Return the last 24 hours for the owner."""
    total = books.day.sum(books.clock.elapsed)
    seconds = {name: round(value, 1) for name, value in sorted(total.seconds.items()) if name}
    return {
        "whModelled": round(total.wh, 3),
        "batteryWhModelled": round(total.battery_wh, 3),
        "kmModelled": round(total.battery_wh / books.power.wh_per_km, 3),
        "bytes": total.carried,
        "bytesByLink": dict(sorted(total.bytes.items())),
        "secondsOffered": round(total.seconds.get("", 0.0), 1),
        "secondsResting": seconds,
        "recordLost": total.unknown,
    }
