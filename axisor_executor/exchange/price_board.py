"""The last ticker on a board in Redis, for all processes that ask one exchange; and whose turn it is to ask it.

A process takes Redis' time with its turn, before it asks the exchange, and who reads the ticker takes it again: the
time between is measured by one clock, whatever the machines' own show. (Should that clock be set back meanwhile, or
another Redis with a slower one take over, a ticker looks younger by as much.)
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from axisor_executor.exchange.base import Answer, Ticker
from axisor_executor.exchange.ticker_text import read_ticker, write_ticker
from axisor_executor.observe.logs import say

if TYPE_CHECKING:
    from axisor_executor.shared import Shared

TURN_SECONDS = 2.0
KEPT_SECONDS = 10.0

_NO_EXPIRY, _GONE = -1, -2  # Redis' words for it
_END_TURN = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


@dataclass(frozen=True, slots=True)
class Posted:
    """A ticker that was asked for ``asked_ago`` seconds ago at most, and posted ``posted_ago`` seconds ago."""

    answer: Answer[Ticker]
    asked_ago: float
    posted_ago: float


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to ask the exchange, for a short time. ``taken_at``: microseconds by Redis' clock."""

    token: str
    taken_at: int


@dataclass(frozen=True, slots=True)
class Look:
    """What stands on the board, and the turn if it was wanted and free."""

    posted: Posted | None
    turn: Turn | None


class PriceBoard:
    """The board of one exchange at one address. Any thread may use it.

    Redis is not trusted: what is not exactly as we write it is ignored, and overwritten by the next ticker.
    """

    def __init__(self, shared: Shared, slug: str, base_url: str, *, turn_seconds: float = TURN_SECONDS) -> None:
        """Make the board of an exchange's slug and address.

        ``turn_seconds`` is how long a turn lasts at most: so long do the others wait for a process that died in it.
        """
        self._shared = shared
        place = hashlib.sha256(f"{slug}\n{base_url}".encode()).hexdigest()[:24]  # an address may hold anything
        self._ticker_key = shared.key("ticker", place)
        self._turn_key = shared.key("ticker", place, "turn")
        self._turn_ms = round(turn_seconds * 1000)
        self._ignored: str | bytes | None = None

    def look(self, *, wants_turn: bool) -> Look | None:
        """Read the board, and take the turn if it ``wants_turn`` and it is free; ``None``: Redis is away."""
        token = secrets.token_hex(8) if wants_turn else ""
        found = self._shared.ask(lambda client: self._fetch(client, token))
        if found is None:
            return None
        text, left_ms, now, has_turn = found
        return Look(self._posted(text, left_ms, now), Turn(token, now) if has_turn else None)

    def post(self, turn: Turn, answer: Answer[Ticker]) -> bool:
        """Post what was asked for in ``turn``, unless something newer stands there already.

        Returns:
            Whether the answer can be shared at all: one that no reader would take is not posted.
        """
        text = write_ticker(answer, turn.taken_at)
        try:
            read_ticker(text, turn.taken_at)
        except ValueError:
            return False
        board = self.look(wants_turn=False)
        if board is None or board.posted is None or board.posted.answer.value.time <= answer.value.time:
            self._shared.ask(lambda client: client.set(self._ticker_key, text, px=round(KEPT_SECONDS * 1000)))
        return True

    def pass_on(self, turn: Turn, pause_seconds: float = 0.0) -> None:
        """End a turn; the next one may be taken in ``pause_seconds``."""
        pause = str(round(pause_seconds * 1000))
        self._shared.ask(lambda client: client.eval(_END_TURN, 1, self._turn_key, turn.token, pause))

    def clear(self) -> None:
        """Take the ticker off."""
        self._shared.ask(lambda client: client.delete(self._ticker_key))

    def _fetch(self, client: Any, token: str) -> tuple[str | bytes | None, int, int, bool]:
        """Return the text, the milliseconds that it will still stand, Redis' time, and whether the turn is ours."""
        with client.pipeline(transaction=False) as commands:
            if token:
                commands.set(self._turn_key, token, nx=True, px=self._turn_ms)
                commands.pttl(self._turn_key)
            # The time comes last: what it is compared with may look older, but not younger.
            commands.get(self._ticker_key).pttl(self._ticker_key).time()
            *turn, text, left_ms, now = commands.execute(raise_on_error=False)
        if isinstance(text, Exception) and str(text).startswith("WRONGTYPE"):
            text = ""
        for answer in (*turn, text, left_ms, now):
            if isinstance(answer, Exception):
                raise answer
        if turn and (turn[1] == _NO_EXPIRY or turn[1] > self._turn_ms):
            client.delete(self._turn_key)  # none of ours, and it would be waited for without end
        return text, left_ms, now[0] * 1_000_000 + now[1], bool(turn and turn[0])

    def _posted(self, text: str | bytes | None, left_ms: int, now: int) -> Posted | None:
        if text is None or left_ms == _GONE:
            return None
        try:
            return _read(text, left_ms, now)
        except ValueError as error:
            if text != self._ignored:  # said once, not at every look until it is overwritten
                say.warning(f"What stands in Redis as the ticker is not one of ours, and is ignored: {error}")
            self._ignored = text
            return None


def _read(text: str | bytes, left_ms: int, now: int) -> Posted:
    if not 0 <= left_ms <= KEPT_SECONDS * 1000:
        raise ValueError("it does not expire as it should")
    answer, asked = read_ticker(text, now)
    return Posted(answer, (now - asked) / 1_000_000, KEPT_SECONDS - left_ms / 1000)
