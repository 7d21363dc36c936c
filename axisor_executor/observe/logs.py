"""Log lines: human ones as the monolith's people know them, and JSON ones for machines.

Everything goes through the standard library's logger ``axisor_executor``; nothing is configured at import, so an
application that embeds the library keeps its own set-up. Workers and commands call :func:`configure`.
"""

from __future__ import annotations

import functools
import json
import logging
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TextIO

from axisor_executor.observe.gathering import GatheringHandler, beside

ROOT = "axisor_executor"
JOINERS = "\u200d\ufe0f"  # they hold emoji together
RUNS = "axisor_executor.runs"

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "mark"}
_json = json.JSONEncoder(ensure_ascii=False, default=str).encode
_debugged: ContextVar[bool] = ContextVar("axisor_debugged", default=False)
_about: ContextVar[Mapping[str, str]] = ContextVar("axisor_about", default={})  # noqa: B039  it is never changed
_configured: dict[str, Any] = {"levels": (), "debug_runs": 0.0, "alone": None}


def printable_json(text: str) -> str:
    """Return JSON on one line with what can't be printed escaped: a name in it must not steer a terminal.

    Letters of all scripts stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in JOINERS else json.dumps(letter)[1:-1] for letter in text)


def _encode(fields: Any) -> str:
    return printable_json(_json(fields))


class Lines:
    """Speaks the human lines: ``[EMOJI] AUTOMATION EXECUTOR - text``. Keywords go into the JSON form only.

    A line's logger is the module that speaks, so that levels can be set by module.
    """

    def debug(self, text: str, **facts: Any) -> None:
        """🔍 what is being looked at."""
        _say(logging.DEBUG, "🔍", text, facts)

    def info(self, text: str, *, mark: str = "📊", **facts: Any) -> None:
        """📊 (or another sign) what goes on."""
        _say(logging.INFO, mark, text, facts)

    def success(self, text: str, **facts: Any) -> None:
        """✅ what was achieved."""
        _say(logging.INFO, "✅", text, facts)

    def execution(self, text: str, **facts: Any) -> None:
        """🎯 what is being carried out."""
        _say(logging.INFO, "🎯", text, facts)

    def warning(self, text: str, **facts: Any) -> None:
        """⚠️ what should be looked at."""
        _say(logging.WARNING, "⚠️", text, facts)

    def error(self, text: str, **facts: Any) -> None:
        """❌ what failed."""
        _say(logging.ERROR, "❌", text, facts)

    def crash(self, text: str, **facts: Any) -> None:
        """❌ what should never happen: with the traceback (never with its variables)."""
        _say(logging.ERROR, "❌", text, facts, is_crash=True)


def _say(level: int, mark: str, text: str, facts: dict[str, Any], *, is_crash: bool = False) -> None:
    caller = sys._getframe(2)  # that of the module which speaks; the standard library's search costs ten times as much
    logger = _logger(caller.f_globals.get("__name__", ROOT))
    if not (logger.isEnabledFor(level) or (level == logging.DEBUG and _debugged.get())):
        return
    told = {**_about.get(), **facts}
    alone = None if is_crash else _only_listener(logger)
    if alone is not None:
        with suppress(Exception):  # what can't be shown is tried again as a record, and then told as the library does
            alone.handler.put(alone.form.line(_Said(time.time(), level, logger.name, mark, text, told)), level)
            return
    code = caller.f_code
    record = logger.makeRecord(
        logger.name,
        level,
        code.co_filename,
        caller.f_lineno,
        text,
        (),
        sys.exc_info() if is_crash else None,
        code.co_name,
        {**told, "mark": mark},
    )
    logger.handle(record)


@functools.cache
def _logger(module: str) -> logging.Logger:
    return logging.getLogger(module if module.startswith(f"{ROOT}.") else ROOT)


say = Lines()


@contextmanager
def about(**facts: str | None) -> Iterator[None]:
    """Bind who and what a block is about to all its lines."""
    bound = _bind(facts)
    try:
        yield
    finally:
        _about.reset(bound)


def _bind(facts: Mapping[str, str | None]) -> Token[Mapping[str, str]]:
    return _about.set({**_about.get(), **{key: value for key, value in facts.items() if value is not None}})


@contextmanager
def about_run(execution_id: str, **facts: str | None) -> Iterator[None]:
    """Bind what a run is about to all its lines; one of the sample writes its debug lines whatever the level."""
    share = _configured["debug_runs"]
    # By the id, so that all runs of an execution, in whatever process, are of the sample or not.
    debugged = _debugged.set(share > 0 and zlib.crc32(execution_id.encode()) < share * 2**32)
    bound = _bind({"executionId": execution_id, **facts})
    try:
        yield
    finally:
        _about.reset(bound)
        _debugged.reset(debugged)


def run_line(fields: Mapping[str, Any]) -> None:
    """Write the one machine line of a run: a JSON object with exactly these fields."""
    logger = _logger(RUNS)
    if not logger.isEnabledFor(logging.INFO):
        return
    alone = _only_listener(logger)
    if alone is not None:
        with suppress(Exception):
            alone.handler.put(_encode(fields), logging.INFO)
            return
    logger.handle(logger.makeRecord(RUNS, logging.INFO, __file__, 0, "run", (), None, "run_line", {"run": fields}))


def _only_listener(logger: logging.Logger) -> _Alone | None:
    """Return the worker's own handler where nobody else would see a record, which then need not be made.

    A record costs more than its line: the standard library notes in it all that any handler might want.
    """
    if logger.filters or logging.getLogRecordFactory() is not logging.LogRecord:
        return None
    asked: logging.Logger | None = logger
    while asked is not None and not asked.handlers and asked.propagate:
        asked = asked.parent
    alone = _configured["alone"]
    if asked is None or alone is None or asked.propagate or asked.handlers != [alone.handler]:
        return None
    return None if alone.handler.filters or alone.handler.level else alone


def timestamp(moment: datetime | None = None) -> str:
    """Return an instant (default: now) as ISO-8601 with milliseconds and ``Z``."""
    if moment is None:
        return _instant(time.time())
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instant(seconds: float) -> str:
    """Return seconds since 1970 as :func:`timestamp` does."""
    second, millisecond = divmod(int(seconds * 1000), 1000)
    return f"{_to_the_second(second)}.{millisecond:03d}Z"


@functools.lru_cache(maxsize=16)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def maybe_timestamp(moment: datetime | None) -> str | None:
    """Return an instant as :func:`timestamp` does, ``None`` for none."""
    return None if moment is None else timestamp(moment)


def one_line(text: str, longest: int = 2000) -> str:
    """Return a text of others' fit for a terminal and a database: one printable line, cut where it is long.

    Names and ids come from rows and jobs; a line break or an escape sequence in one must not forge a line.
    """
    kept = text[: 4 * longest]
    if not kept.isprintable():
        kept = "".join(letter if letter.isprintable() or letter in JOINERS else " " for letter in kept)
    line = " ".join(kept.split())
    return line if len(line) <= longest else f"{line[:longest]}..."


def message_of(error: BaseException, longest: int = 500) -> str:
    """Return an error's message as one line; that of a plugin's own class may break, too."""
    try:
        return one_line(str(error), longest)
    except BaseException as worse:  # noqa: BLE001  `__str__` is the plugin's code
        return f"(its message can't be shown: {type(worse).__name__})"


class _Said(NamedTuple):
    """What a line is made of. ``seconds``: since 1970."""

    seconds: float
    level: int
    logger: str
    mark: str
    text: str
    facts: Mapping[str, Any]


class HumanFormatter(logging.Formatter):
    """``12:30:05.123 ✅ AUTOMATION EXECUTOR - text``; the one line of a run is for machines in this form, too."""

    def format(self, record: logging.LogRecord) -> str:
        run = getattr(record, "run", None)
        if run is not None:
            return _encode(run)
        mark = getattr(record, "mark", {"DEBUG": "🔍", "INFO": "📊"}.get(record.levelname, "❌"))
        line = self.line(_Said(record.created, record.levelno, record.name, mark, record.getMessage(), {}))
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line

    def line(self, said: _Said) -> str:
        """Return the line of what was said."""
        return f"{_instant(said.seconds)[11:23]} {said.mark} AUTOMATION EXECUTOR - {one_line(said.text)}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: a run's fields alone, or timestamp, level, event and context."""

    def format(self, record: logging.LogRecord) -> str:
        run = getattr(record, "run", None)
        if run is not None:
            return _encode(run)
        facts = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        if record.exc_info:
            facts["traceback"] = self.formatException(record.exc_info)
        return self.line(_Said(record.created, record.levelno, record.name, "", record.getMessage(), facts))

    def line(self, said: _Said) -> str:
        """Return the line of what was said."""
        heads = {
            "timestamp": _instant(said.seconds),
            "level": logging.getLevelName(said.level).lower(),
            "logger": said.logger,
            "event": said.text,
        }
        return _encode({**heads, **said.facts})


class _Alone(NamedTuple):
    """What writes a worker's lines, as long as nobody else listens."""

    handler: GatheringHandler
    form: HumanFormatter | JsonFormatter


def configure(
    log_format: Literal["human", "json"] = "human",
    level: str = "INFO",
    *,
    levels: Mapping[str, str] | None = None,
    debug_runs: float = 0.0,
    stream: TextIO | None = None,
    gathered: bool = False,
) -> None:
    """Send the library's lines to ``stream`` (standard error by default). Safe to call again.

    ``levels``: of modules (``axisor_executor.exchange``) that have one of their own. ``debug_runs``: the share of runs,
    0 to 1, whose debug lines are written whatever the level. ``gathered``: lines are written together, as a worker
    does (see ``gathering``), not each by itself, as a person wants it who looks on.
    """
    stop_gathering()
    where = stream or sys.stderr
    form = JsonFormatter() if log_format == "json" else HumanFormatter()
    handler = GatheringHandler(where) if gathered else logging.StreamHandler(where)
    handler.setFormatter(form)
    logger = logging.getLogger(ROOT)
    logger.handlers[:] = [handler]
    logger.propagate = False
    for name in _configured["levels"]:
        logging.getLogger(name).setLevel(logging.NOTSET)
    logger.setLevel(level.upper())
    for name, own in (levels or {}).items():
        logging.getLogger(name).setLevel(own.upper())
    alone = _Alone(handler, form) if isinstance(handler, GatheringHandler) else None
    _configured.update(levels=tuple(levels or ()), debug_runs=debug_runs, alone=alone)


def gather_others() -> None:
    """Have what others say to the stream of our lines written with ours: neither then waits for who reads it.

    Dramatiq logs from its signal handler before it stops anything. With its own handler, a reader that has stalled
    would hold up whoever says a word, hence keep a worker from stopping. Only for a process that is ours.
    """
    for handler in logging.getLogger(ROOT).handlers:
        if isinstance(handler, GatheringHandler):
            beside(handler, logging.getLogger())


def stop_gathering() -> None:
    """Write what has gathered; from now on each line goes out by itself, since this process may end any moment."""
    for handler in logging.getLogger(ROOT).handlers:
        if isinstance(handler, GatheringHandler):
            handler.close()
