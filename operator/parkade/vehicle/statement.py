"""`parkade vehicle status` as text: what ran, what it used against each term, and why nothing ran."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from parkade.units import seconds

SHOWN_CHANGES: Final = 8
_REMEDY: Final = (
    "other cars serve it meanwhile; where it comes again after a restart and an update of the agent, have this "
    "car's computer checked"
)
_PLUG: Final = {True: "plugged in", False: "unplugged"}


def text(found: Mapping[str, Any]) -> str:
    """Return the status for a terminal; `found` is what `GET /v1/status` answers."""
    parts = (
        _head(found),
        _assignments(found),
        _distrusted(found),
        _terms(found),
        _work(found),
        _day(found),
        _history(found),
    )
    return "\n".join(line for part in parts for line in part)


def _head(found: Mapping[str, Any]) -> Iterator[str]:
    signals, link = found["signals"], found["fleetLink"]
    yield f"{found['vehicle']} ({found['fleet']}, cell {found['cell'] or 'none yet'})"
    if found["eligible"]:
        yield "offers itself"
    else:
        yield f"rests: {found['reason']}. {found['message']}"
    for also in found["alsoAgainst"]:
        yield f"  also: {also['reason']}. {also['message']}"
    charging = ", charging" if signals["charging"] else ""
    yield (
        f"{_PLUG[signals['pluggedIn']]}{charging}, {signals['soc']:g} %, on {signals['link']}; "
        f"without us the car would be {found['state']}"
    )
    if found["forecast"]["leavingWithin"]:
        within = ", ".join(f"{percent} %" for percent in found["forecast"]["leavingWithin"])
        yield f"leaves within 5, 15, 60 min by a chance of {within} (forecast from {found['forecast']['stays']} stays)"
    yield f"fleet link {'up, ' + str(link['rttMillis']) + ' ms' if link['connected'] else 'down; what runs goes on'}"
    if found["notEnforced"]:
        yield f"terms of a newer pool, not enforced: {', '.join(found['notEnforced'])}"


def _assignments(found: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    if not found["assignments"]:
        yield "MODELS  none is assigned"
        return
    rows = [("MODELS", "DIGEST", "PHASE", "CONNECTIONS", "")]
    for row in found["assignments"]:
        why = f"{row['reason']}: {row['message']}" if row["reason"] and row["reason"] != found["reason"] else ""
        rows.append((row["workload"], row["digest"][:12], row["phase"], str(row["connections"]), why))
    yield from _table(rows)


def _distrusted(found: Mapping[str, Any]) -> Iterator[str]:
    for word in found["distrusted"]:
        last = "" if word["last"] == word["since"] else f", last {_moment(word['last'])}"
        yield ""
        yield f"NOT BELIEVED  {word['workload']} {word['digest'][:12]}, since {_moment(word['since'])}{last}"
        yield f"  {word['reason']}: {word['message']}"
        yield f"  {_REMEDY}"


def _terms(found: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    rows = [("TERM", "NOW", "LIMIT", "SET BY", "")]
    for row in found["terms"]:
        limit, now = row["limit"], row["now"]
        if limit in (None, False) and row["term"] != "dataCapPerDay":
            continue
        if row["term"] == "netPositive" and now is None:
            continue
        name, shown_now, shown_limit = _WORDS[row["term"]]
        rows.append((name, shown_now(now), shown_limit(limit), row["by"], "" if row["holds"] else "<- rests the car"))
    yield from _table(rows)


def _work(found: Mapping[str, Any]) -> Iterator[str]:
    used = found["used"]
    yield ""
    rows = [("WORK SO FAR", "REQUESTS", "BUSY", "ENERGY", "BODIES")]
    named = [(row["workload"], row) for row in used["byWorkload"]]
    for name, row in (*named, ("all", used)):
        energy = _energy(row["joulesModelled"] / 3600)
        bodies = _bytes(row["bytesIn"] + row["bytesOut"])
        rows.append((name, f"{row['requests']:,}", _span(row["busySeconds"]), energy, bodies))
    yield from _table(rows)
    yield f"models downloaded: {_bytes(used['bytesDownloaded'])}; energy is modelled, not measured"


def _day(found: Mapping[str, Any]) -> Iterator[str]:
    day = found["day"]
    yield ""
    links = ", ".join(f"{link} {_bytes(size)}" for link, size in day["bytesByLink"].items())
    yield (
        f"LAST 24 HOURS  {_energy(day['whModelled'])}, of it {_energy(day['batteryWhModelled'])} out of the battery "
        f"({day['kmModelled']:.2f} km); {_bytes(day['bytes'])}{' (' + links + ')' if links else ''}"
    )
    spans = [("offered", day["secondsOffered"]), *sorted(day["secondsResting"].items(), key=lambda item: -item[1])]
    yield "  " + ", ".join(f"{name} {_span(value)}" for name, value in spans if value or name == "offered")
    if day["recordLost"]:
        yield "  the record was damaged: what is allowed a day counts as spent until 24 hours are over"


def _history(found: Mapping[str, Any]) -> Iterator[str]:
    changes = found["history"][-SHOWN_CHANGES:]
    yield ""
    rows = [("SINCE", "", "")]
    rows += [(_moment(each["at"]), each["reason"] or "offers itself", each["message"]) for each in reversed(changes)]
    yield from _table(rows)


def _moment(at: str) -> str:
    return f"{datetime.fromisoformat(at):%a %d %b %H:%M:%S}"


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _span(value: float) -> str:
    """Seconds as people say them."""
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _bytes(value: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable: the last unit holds everything")


def _energy(wh: float) -> str:
    return f"{wh / 1000:.2f} kWh" if wh >= 1000 else f"{wh:.1f} Wh"


def _joined(values: Iterable[str]) -> str:
    return ", ".join(values) or "none"


def _or(nothing: str, form: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: nothing if value is None else form(value)


_WORDS: Final[Mapping[str, tuple[str, Callable[[Any], str], Callable[[Any], str]]]] = {
    "requirePluggedIn": ("plug", lambda now: _PLUG[now], lambda _: "plugged in"),
    "minStateOfCharge": ("state of charge", lambda now: f"{now:g} %", lambda least: f"at least {least:g} %"),
    "maxRangeLossPerDay": ("range lost, 24 h", lambda now: f"{now:.2f} km", lambda most: f"{most:g} km off the plug"),
    "links": ("link", str, _joined),
    "dataCapPerDay": ("data, 24 h", _bytes, _or("no cap", lambda most: _bytes(float(most)))),
    "quietHours": ("quiet hours", lambda state: f"car {state}", lambda spans: f"asleep in {_joined(spans)}"),
    "readyBefore": (
        "ready to leave",
        _or("no departure", lambda left: f"leaves in {_span(left)}"),
        lambda ahead: f"{_span(seconds(ahead))} before",
    ),
    "netPositive": ("payout", lambda paid: f"{paid:g} $/h", lambda _: "beside the electricity"),
    "energyPrice": (
        "electricity",
        _or("not told", lambda paid: f"{paid:g} $/kWh"),
        lambda own: f"at least {own:g} $/kWh",
    ),
    "minCelsius": ("coldest", _or("not told", lambda now: f"{now:g} C"), lambda least: f"{least:g} C"),
    "maxCelsius": ("hottest", _or("not told", lambda now: f"{now:g} C"), lambda most: f"{most:g} C"),
}
