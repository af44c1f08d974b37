"""What a car spends in a day: exact, over restarts, crashes, damage and clocks that jump."""

import json
from datetime import timedelta
from math import inf

import pytest

from parkade.vehicle.books import RESERVE_BYTES, RESERVE_WH, Books, Power, shown_day
from parkade.vehicle.clock import Clock
from parkade.vehicle.contract import Contract
from parkade.vehicle.notebook import Notebook
from parkade.vehicle.reasons import Reason
from parkade.vehicle.signals import Signals
from parkade.vehicle.usage import MAX_WORKLOADS, Usage
from vehicle.peers import Hand

HOUR = 3600.0
ASLEEP, AWAKE = Signals(plugged_in=False), Signals(plugged_in=False, sentry=True)
TERMS = Contract()


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def opened(tmp_path, hand):
    """Books on one state directory, opened anew as after a restart."""
    return lambda: Books(Notebook(tmp_path), Power(), hand.sources())


def worked(books: Books, hand: Hand, seconds: float, signals: Signals = ASLEEP, *, awake: bool = True) -> None:
    with books.usage.busy():
        hand.pass_(seconds)
    books.settle(signals, awake, "")


def test_work_is_charged_with_what_the_car_would_not_have_used_without_us(opened, hand):
    books = opened()
    for signals, wh in ((ASLEEP, 245 + 100), (AWAKE, 100), (Signals(charging=True), 100), (Signals(), 345)):
        before = shown_day(books)
        worked(books, hand, HOUR, signals)
        after = shown_day(books)
        assert after["whModelled"] - before["whModelled"] == pytest.approx(wh)
        battery = 0 if signals.plugged_in else wh
        assert after["batteryWhModelled"] - before["batteryWhModelled"] == pytest.approx(battery)
    assert books.spent(TERMS).km == pytest.approx((345 + 100) / 140)
    hand.pass_(HOUR)
    books.settle(ASLEEP, True, "")
    assert shown_day(books)["batteryWhModelled"] == pytest.approx(445 + 245), "held ready, and not busy"
    hand.pass_(HOUR)
    books.settle(ASLEEP, False, "NotPluggedIn")
    assert shown_day(books)["batteryWhModelled"] == pytest.approx(445 + 245), "nothing of ours runs"
    assert shown_day(books)["secondsResting"] == {"NotPluggedIn": HOUR}


def test_the_hour_at_which_an_allowance_is_free_again_is_known(opened, hand):
    books = opened()
    for _ in range(3):
        worked(books, hand, HOUR)
        hand.pass_(HOUR)
    two_of_three = Contract(max_range_loss_per_day=2.5 * 345 / 140)
    wait = books.spent(two_of_three).km_returns
    hand.pass_(wait - 1)
    assert books.spent(two_of_three).km >= two_of_three.max_range_loss_per_day
    hand.pass_(1)
    assert books.spent(two_of_three).km < two_of_three.max_range_loss_per_day
    assert books.spent(Contract(max_range_loss_per_day=0)).km_returns == 0, "never"


def test_a_computer_that_works_on_two_requests_is_one_computer(hand):
    usage = Usage(running=hand.sources().running)
    with usage.busy():
        hand.pass_(1)
        with usage.busy():
            hand.pass_(1)
            assert usage.busy_seconds == 2
        hand.pass_(1)
    hand.pass_(1)
    assert usage.busy_seconds == 3


def test_a_machine_that_slept_drew_nothing_meanwhile_and_its_day_went_on(opened, hand):
    books = opened()
    worked(books, hand, HOUR)
    hand.pass_(20 * HOUR, asleep=True)
    books.settle(ASLEEP, True, "")
    assert shown_day(books)["batteryWhModelled"] == pytest.approx(345)
    hand.pass_(5 * HOUR, asleep=True)
    assert books.spent(TERMS).km == 0, "a day later"


def test_a_day_is_any_24_hours(opened, hand):
    books = opened()
    worked(books, hand, 0.1)
    hand.pass_(86400 - 1)
    assert books.spent(TERMS).km > 0
    assert 0 < books.spent(Contract(max_range_loss_per_day=0.0001)).km_returns <= 900 + 1
    hand.pass_(901)
    assert books.spent(TERMS).km == 0


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(hours=-1), timedelta(hours=1), timedelta(days=400)])
def test_a_clock_that_is_set_gives_no_second_allowance(opened, hand, jump):
    books = opened()
    worked(books, hand, HOUR)
    hand.wall += jump
    books.settle(ASLEEP, False, "")
    spent = books.spent(TERMS).km
    assert spent == pytest.approx(345 / 140)
    books.save(None)
    assert opened().spent(TERMS).km == pytest.approx(spent), "nor over a restart of the agent"
    hand.reboot(off=10)
    assert opened().spent(TERMS).km == pytest.approx(spent), "nor of the machine"


def test_a_machine_that_was_off_goes_by_its_wall_clock_and_believes_it_once(opened, hand):
    books = opened()
    worked(books, hand, HOUR)
    books.save(None)
    hand.reboot(off=23 * HOUR)
    books = opened()
    assert books.spent(TERMS).km > 0
    books.save(None)
    hand.reboot(off=0, set_by=48 * HOUR)
    books = opened()
    assert books.spent(TERMS).km == 0, "nothing tells this from two days"
    worked(books, hand, HOUR)
    spent = books.spent(TERMS).km
    for wrong in (-48 * HOUR, 47 * HOUR, -40 * HOUR):
        books.save(None)
        hand.reboot(off=0, set_by=wrong)
        books = opened()
        assert books.spent(TERMS).km == pytest.approx(spent), "no more than what the clock already showed"


def test_a_crash_does_not_forget_that_the_clock_was_set(opened, hand):
    books = opened()
    worked(books, hand, HOUR)
    books.save(TERMS)
    hand.set_wall(48 * HOUR)
    books.keep(TERMS, at_work=True)
    hand.reboot(off=60)
    assert opened().spent(TERMS).km >= 345 / 140, "no goodbye was said"


def test_a_crash_counts_the_reserve_as_spent_and_a_stop_does_not(opened, hand):
    contract = Contract(data_cap_per_day=2**31)
    books = opened()
    books.keep(contract, at_work=True)
    worked(books, hand, 1)
    books.carry("WiFi", 1000)
    after = opened()
    assert after.spent(TERMS).km == pytest.approx(RESERVE_WH / 140)
    assert after.spent(TERMS).bytes == RESERVE_BYTES
    assert after.spent(TERMS).km > books.spent(TERMS).km
    books.save(None)
    assert (opened().spent(TERMS).km, opened().spent(TERMS).bytes) == (pytest.approx(books.spent(TERMS).km), 1000)


def test_the_reserve_is_small_beside_a_small_allowance(opened):
    books = opened()
    books.keep(Contract(data_cap_per_day=1600, max_range_loss_per_day=0.1), at_work=True)
    after = opened()
    assert after.spent(TERMS).bytes == 100
    assert after.spent(TERMS).km == pytest.approx(0.1 / 16)


def test_what_is_spent_never_runs_ahead_of_what_is_written(opened, hand):
    contract = Contract(data_cap_per_day=2**40)
    books = opened()
    books.keep(contract, at_work=True)
    for _ in range(40):
        worked(books, hand, 5)
        books.carry("WiFi", 2**24)
        books.keep(contract, at_work=True)
        after = opened()
        assert after.spent(TERMS).km >= books.spent(TERMS).km
        assert after.spent(TERMS).bytes >= books.spent(TERMS).bytes


def test_the_cap_is_noticed_at_the_byte_that_reaches_it(opened):
    books, told = opened(), []
    books.on_spent = lambda: told.append(1)
    books.keep(Contract(data_cap_per_day=1000), at_work=False)
    books.carry("WiFi", 999)
    assert told == []
    books.carry("Cellular", 1)
    books.carry("Cellular", 1)
    assert told == [1], "once until the contract was looked at"
    assert shown_day(books)["bytesByLink"] == {"Cellular": 2, "WiFi": 999}


@pytest.mark.parametrize(
    "damage",
    [
        b"", b"{", b"[]", b"\xff\xfe", b"{}", b'{"clock": 1, "day": {}, "reserve": {}}',
        lambda held: held["day"].update({"99999": {"wh": 1}}),
        lambda held: held["day"].update({"0": {"batteryWh": -5}}),
        lambda held: held["day"].update({"0": {"bytes": [1]}}),
        lambda held: held["day"].update({"0": {"unknown": 1}}),
        lambda held: held["clock"].update({"elapsed": float("nan")}),
        lambda held: held["clock"].pop("boot"),
        lambda held: held.pop("reserve"),
    ],
)  # fmt: skip
def test_a_damaged_account_counts_as_spent_for_a_day(opened, hand, tmp_path, damage):
    books = opened()
    worked(books, hand, HOUR)
    books.save(None)
    path = tmp_path / "day.json"
    if isinstance(damage, bytes):
        path.write_bytes(damage)
    else:
        held = json.loads(path.read_text())
        damage(held)
        path.write_text(json.dumps(held))
    books = opened()
    assert (books.spent(TERMS).km, books.spent(TERMS).bytes) == (inf, inf)
    assert shown_day(books)["recordLost"] is True
    books.save(None)
    assert opened().spent(TERMS).km == inf, "a restart does not forget it"
    hand.pass_(86400 + 901)
    assert books.spent(TERMS).km == 0


def test_a_disk_that_fails_rests_the_car_until_it_does_not(opened, tmp_path):
    books = opened()
    blocked = tmp_path / ".day.json.new"
    blocked.mkdir()
    books.keep(TERMS, at_work=True)
    assert books.failure is not None
    assert books.failure.reason is Reason.NotebookFails
    assert books.write({"owner.json": {"paused": True}}) is False
    blocked.rmdir()
    books.keep(TERMS, at_work=True)
    assert books.failure is None
    assert json.loads((tmp_path / "owner.json").read_text()) == {"paused": True}, "what failed is written then"


def test_a_clock_without_a_boot_id_goes_by_the_wall(hand):
    hand.boot = ""
    clock = Clock(hand.sources())
    hand.pass_(10)
    saved = clock.saved()
    hand.pass_(5)
    hand.ticks += 1000
    clock = Clock(hand.sources())
    clock.restore(saved)
    assert clock.elapsed == 15


def test_workloads_are_counted_apart_and_bounded():
    usage = Usage()
    for number in range(MAX_WORKLOADS + 5):
        usage.recorder(f"vision/w-{number}")(number + 1.0, 10, 1)
    shown = usage.shown()
    assert shown["requests"] == MAX_WORKLOADS + 5
    assert len(shown["byWorkload"]) == MAX_WORKLOADS
    assert shown["byWorkload"][0]["workload"] == f"vision/w-{MAX_WORKLOADS + 4}"
    again = Usage()
    again.restore(shown)
    assert again.shown() == shown
