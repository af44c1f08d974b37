"""Words for quantities that everyone shares, and how their text forms are read.

Money is dollars as `Decimal` in manifests and `float` $/h in problems; durations are seconds as `float`; memory and
payloads are bytes as `int`; power is watts; energy is joules or kWh as named; rates are requests per second.
"""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Final

SECONDS_PER_HOUR: Final = 3600.0
BYTES_PER_GB: Final = 1e9  # network prices are quoted per decimal gigabyte
GRAMS_PER_TONNE: Final = 1e6

DURATION_PATTERN: Final = r"^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$"
"""Go's `time.ParseDuration` without signs. (`format: duration` also accepts `5d`, which Go refuses.)"""

QUANTITY_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$"
"""Kubernetes quantities as far as memory and payloads need them."""

DECIMAL_PATTERN: Final = r"^-?[0-9]{1,9}(\.[0-9]{1,9})?$"
"""Money, energy and ratios as decimal strings; floats are not portable between API clients."""

_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES: Final = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip


@lru_cache(maxsize=4096)  # manifests repeat the same few texts thousands of times
def seconds(text: str) -> float:
    """Read a Go duration such as `150ms` or `1h30m` as seconds.

    Raises:
        ValueError: the text is not a duration; the message shows one that is.
    """
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} is not a duration; write for example 150ms, 30s or 1h30m")
    parts = re.findall(r"([0-9.]+)(ns|us|ms|s|m|h)", text)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


@lru_cache(maxsize=4096)
def in_bytes(text: str) -> int:
    """Read a Kubernetes quantity such as `900Mi` as bytes, rounded up.

    Raises:
        ValueError: the text is not a quantity; the message shows one that is.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(Ki|Mi|Gi|Ti|k|M|G|T)?", text)
    if not match:
        raise ValueError(f"{text!r} is not a quantity of bytes; write for example 900Mi or 8Gi")
    exact = Decimal(match[1]) * _BYTES[match[2] or ""]
    return int(exact.to_integral_value(rounding="ROUND_CEILING"))
