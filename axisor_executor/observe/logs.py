"""Log lines: human ones as the monolith's people know them, and JSON ones for machines.

Everything goes through the standard library's logger ``axisor_executor``; nothing is configured at import, so an
application that embeds the library keeps its own set-up. Workers and commands call :func:`configure`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import structlog

ROOT = "axisor_executor"
JOINERS = "\u200d\ufe0f"  # they hold emoji together
RUNS = "axisor_executor.runs"

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class Lines:
    """Speaks the human lines: ``[EMOJI] AUTOMATION EXECUTOR - text``. Keywords go into the JSON form only."""

    def __init__(self, name: str = ROOT) -> None:
        self._log = structlog.wrap_logger(
            logging.getLogger(name),
            processors=[structlog.contextvars.merge_contextvars, structlog.stdlib.render_to_log_kwargs],
            wrapper_class=structlog.stdlib.BoundLogger,
        )

    def debug(self, text: str, **facts: Any) -> None:
        """🔍 what is being looked at."""
        self._log.debug(text, mark="🔍", **facts)

    def info(self, text: str, *, mark: str = "📊", **facts: Any) -> None:
        """📊 (or another sign) what goes on."""
        self._log.info(text, mark=mark, **facts)

    def success(self, text: str, **facts: Any) -> None:
        """✅ what was achieved."""
        self._log.info(text, mark="✅", **facts)

    def execution(self, text: str, **facts: Any) -> None:
        """🎯 what is being carried out."""
        self._log.info(text, mark="🎯", **facts)

    def warning(self, text: str, **facts: Any) -> None:
        """⚠️ what should be looked at."""
        self._log.warning(text, mark="⚠️", **facts)

    def error(self, text: str, **facts: Any) -> None:
        """❌ what failed."""
        self._log.error(text, mark="❌", **facts)

    def crash(self, text: str, **facts: Any) -> None:
        """❌ what should never happen: with the traceback (never with its variables)."""
        self._log.error(text, mark="❌", exc_info=True, **facts)


say = Lines()


@contextmanager
def about(**facts: str | None) -> Iterator[None]:
    """Bind who and what a block is about to all its lines."""
    with structlog.contextvars.bound_contextvars(**{key: value for key, value in facts.items() if value is not None}):
        yield


def run_line(fields: Mapping[str, Any]) -> None:
    """Write the one machine line of a run: a JSON object with exactly these fields."""
    logging.getLogger(RUNS).info("run", extra={"run": dict(fields)})


def timestamp(moment: datetime | None = None) -> str:
    """Return an instant (default: now) as ISO-8601 with milliseconds and ``Z``."""
    moment = moment or datetime.now(UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def one_line(text: str, longest: int = 2000) -> str:
    """Return a text of others' fit for a terminal and a database: one printable line, cut where it is long.

    Names and ids come from rows and jobs; a line break or an escape sequence in one must not forge a line.
    """
    kept = "".join(letter if letter.isprintable() or letter in JOINERS else " " for letter in text[: 4 * longest])
    line = " ".join(kept.split())
    return line if len(line) <= longest else f"{line[:longest]}..."


def message_of(error: BaseException, longest: int = 500) -> str:
    """Return an error's message as one line; that of a plugin's own class may break, too."""
    try:
        return one_line(str(error), longest)
    except BaseException as worse:  # noqa: BLE001  `__str__` is the plugin's code
        return f"(its message can't be shown: {type(worse).__name__})"


class HumanFormatter(logging.Formatter):
    """``12:30:05.123 ✅ AUTOMATION EXECUTOR - text``."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        mark = getattr(record, "mark", {"DEBUG": "🔍", "INFO": "📊"}.get(record.levelname, "❌"))
        line = f"{moment} {mark} AUTOMATION EXECUTOR - {one_line(record.getMessage())}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: a run's fields alone, or timestamp, level, event and context."""

    def format(self, record: logging.LogRecord) -> str:
        run = getattr(record, "run", None)
        if run is not None:
            return json.dumps(run, ensure_ascii=False, default=str)
        fields: dict[str, Any] = {
            "timestamp": timestamp(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        fields.update((key, value) for key, value in record.__dict__.items() if key not in _STANDARD and key != "mark")
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


def configure(
    log_format: Literal["human", "json"] = "human", level: str = "INFO", *, stream: TextIO | None = None
) -> None:
    """Send the library's lines to ``stream`` (standard error by default). Safe to call again."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else HumanFormatter())
    if log_format == "human":
        handler.addFilter(lambda record: record.name != RUNS)
    logger = logging.getLogger(ROOT)
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
