"""One log line is one event in logfmt on standard error: `time level logger message key=value`."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

_PLAIN: Final = re.compile(r"^[A-Za-z0-9_./:@%+-]+$")


def logfmt(**fields: object) -> str:
    """`key=value` pairs in the order given; a value with spaces or quotes is quoted, a float keeps three decimals."""
    return " ".join(f"{key}={_value(value)}" for key, value in fields.items())


def _value(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text if _PLAIN.match(text) else json.dumps(text, ensure_ascii=False)


class LogfmtFormatter(logging.Formatter):
    """Renders a record as one logfmt line; a traceback becomes one quoted field, so that a line stays an event."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record, without its newline."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = logfmt(
            time=moment.replace("+00:00", "Z"),
            level=record.levelname.lower(),
            logger=record.name,
            message=record.getMessage(),
        )
        if record.exc_info:
            line += " " + logfmt(traceback=self.formatException(record.exc_info))
        return line


def configure_logs(*, verbose: bool = False, stream: TextIO | None = None) -> None:
    """Send every logger of the process to one stream (standard error by default), once.

    kopf's own lines about single objects are shown from warnings up: its handlers only wake the cycle.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LogfmtFormatter())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    for noisy in ("kopf", "urllib3", "aiohttp", "fsspec", "asyncio", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
