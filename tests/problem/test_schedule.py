from datetime import UTC, datetime

import pytest

import worlds
from parkade.problem.framing import frame
from parkade.problem.schedule import holds
from parkade.settings import Economics

FRIDAY = datetime(2026, 1, 2, 8, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("* * * * *", True),
        ("0 8-20 * * 1-5", True),
        ("0 9-20 * * 1-5", False),
        ("0 */4 * * *", True),
        ("0 */5 * * *", False),
        ("0 2/6 * * *", True),
        ("0 8 * * 0,6", False),
        ("0 8 * 2 *", False),
        ("0 8 2 * 0", True),  # a day of the month or a weekday
        ("0 8 3 * 5", True),
        ("0 8 3 * 4", False),
        ("0 8 * * 5-7", True),
        ("0 99 * * *", False),
        ("0 8-, * * *", False),
    ],
)
def test_an_hour_is_named_by_its_cron_fields(schedule, expected):
    assert holds(schedule, FRIDAY) is expected


def test_sunday_is_0_and_7():
    sunday = datetime(2026, 1, 4, 8, tzinfo=UTC)
    assert holds("0 8 * * 0", sunday)
    assert holds("0 8 * * 7", sunday)


@pytest.mark.parametrize(
    ("percent", "schedule", "left"), [(70, "* * * * *", 1), (60, "* * * * *", 1), (70, "* 9 * * *", 4)]
)
def test_servers_that_are_kept_free_are_no_supply(percent, schedule, left):
    pool = worlds.servers(count=4, keepFree={"percent": percent, "schedule": schedule})
    found = frame(worlds.snapshot([worlds.region(), pool, worlds.workload()]), Economics(), offline=True)
    assert [supply.steps[0].count for supply in found.problem.supplies] == [left]


def test_a_pool_that_is_kept_free_as_a_whole_says_so():
    pool = worlds.servers(keepFree={"percent": 100})
    found = frame(worlds.snapshot([worlds.region(), pool, worlds.workload()]), Economics(), offline=True)
    assert not found.places
    assert "keepFree" in found.left_out[0].message
