"""The gate before every call: what it lets through, in which order it asks, and what it hears."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from axisor_executor.errors import AxisorError, CircuitOpen, Rejected, Throttled, Unavailable
from axisor_executor.exchange.base import ExchangeClient
from axisor_executor.limits.breaker import AccountRef
from axisor_executor.limits.gate import CHANGING, PUBLIC, READING, Gate, gated

ACCOUNT = AccountRef("account", "Main Account", "fingerprint", "digest")


class Scene:
    """Budget, breakers and client in one, writing down what happens to them."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.held_back: dict[str, AxisorError] = {}
        self.failure: Exception | None = None
        self.has_open = False

    def check(self, exchange: str, account: AccountRef | None, lane: str, *, mutating: bool) -> None:
        self._step("check", exchange, account and account.id, lane, mutating)

    def take(self, caller: str, *, lane: str, goes_on: bool) -> None:
        self._step("take", caller, lane, goes_on)

    def slow_down(self, caller: str, seconds: float) -> None:
        self._step("slow_down", caller, seconds)

    def report(self, exchange: str, account: AccountRef | None, *, mutating: bool, failure: Any) -> None:
        self._step("report", exchange, account and account.id, mutating, failure)

    def withdraw(self, exchange: str, account: AccountRef | None, *, mutating: bool) -> None:
        self._step("withdraw", exchange, account and account.id, mutating)

    def close_trade(self, trade_id: str, *, timestamp_ms: int) -> str:
        return self._call("close_trade", trade_id, timestamp_ms)

    def account(self) -> str:
        return self._call("account")

    def ticker(self) -> str:
        return self._call("ticker")

    last_skew_seconds = 1.5

    def _call(self, *what: Any) -> str:
        self.seen.append(what)
        if self.failure is not None:
            raise self.failure
        return "answer"

    def _step(self, name: str, *what: Any) -> None:
        self.seen.append((name, *what))
        if name in self.held_back:
            raise self.held_back[name]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def gate(scene: Scene, account: AccountRef | None = ACCOUNT) -> Gate:
    parts: Any = scene
    return Gate(parts, parts, exchange="lnmarkets@host", account=account, lane="protect")


def client(scene: Scene, account: AccountRef | None = ACCOUNT) -> Any:
    bare: Any = scene
    return gated(bare, gate(scene, account))


def test_every_call_of_the_protocol_is_read_changing_or_public() -> None:
    calls = {name for name in vars(ExchangeClient) if not name.startswith("_")}
    assert calls == READING | CHANGING | PUBLIC
    assert len(calls) == len(READING) + len(CHANGING) + len(PUBLIC)


def test_a_read_waits_for_its_turn_and_tells_how_it_ended(scene: Scene) -> None:
    assert client(scene).account() == "answer"
    assert scene.seen == [
        ("check", "lnmarkets@host", "account", "protect", False),
        ("take", "key:lnmarkets@host:fingerprint", "protect", False),
        ("account",),
        ("report", "lnmarkets@host", "account", False, None),
    ]


def test_a_public_call_counts_for_the_address(scene: Scene) -> None:
    public = client(scene, None)
    for _ in range(2):
        public.ticker()
    assert [step for step in scene.seen if step[0] == "take"] == [
        ("take", "public:lnmarkets@host", "protect", False)
    ] * 2


def test_a_run_that_has_called_goes_on(scene: Scene) -> None:
    run = client(scene)
    for _ in range(3):
        run.account()
    assert [step[-1] for step in scene.seen if step[0] == "take"] == [False, True, True]


def test_a_signed_request_never_waits(scene: Scene) -> None:
    assert client(scene).close_trade("t1", timestamp_ms=5) == "answer"
    assert scene.seen == [("close_trade", "t1", 5), ("report", "lnmarkets@host", "account", True, None)]


def test_what_is_no_call_passes(scene: Scene) -> None:
    assert client(scene).last_skew_seconds == 1.5
    with pytest.raises(AttributeError):
        _ = client(scene).nothing


def test_an_open_breaker_takes_no_token(scene: Scene) -> None:
    scene.held_back["check"] = CircuitOpen("away")
    with pytest.raises(CircuitOpen):
        client(scene).account()
    assert [step[0] for step in scene.seen] == ["check"]


def test_a_probe_that_gets_no_token_is_given_back(scene: Scene) -> None:
    scene.held_back["take"] = Throttled("full", retry_after=0.5)
    with pytest.raises(Throttled):
        gate(scene).enter(mutating=True)
    assert scene.seen[-1] == ("withdraw", "lnmarkets@host", "account", True)


@pytest.mark.parametrize("failure", [Rejected("no"), Unavailable("away")])
def test_a_failure_is_told_and_passes_through(scene: Scene, failure: AxisorError) -> None:
    scene.failure = failure
    with pytest.raises(type(failure)):
        client(scene).account()
    assert scene.seen[-1] == ("report", "lnmarkets@host", "account", False, failure)
    assert "slow_down" not in [step[0] for step in scene.seen]


AWAY, REFUSED = Unavailable("away"), Rejected("no")


def told(scene: Scene, call: Callable[[], Any], *failures: AxisorError | None) -> list[AxisorError | None]:
    """Return which ends of calls that end so the breakers hear of."""
    for failure in failures:
        scene.failure = failure
        with nullcontext() if failure is None else pytest.raises(type(failure)):
            call()
    return [step[-1] for step in scene.seen if step[0] == "report"]


def test_of_reads_of_one_run_that_fail_in_a_row_the_first_counts(scene: Scene) -> None:
    """It reads two things at once: that both are refused does not say more than one."""
    read = client(scene).account
    assert told(scene, read, REFUSED, REFUSED, None, REFUSED) == [REFUSED, None, REFUSED]


def test_reads_that_fail_otherwise_count_each(scene: Scene) -> None:
    """A refusal shows that the exchange is there, and a time-out that it is not."""
    busy = Unavailable("away", details={"httpStatus": 429})
    ends = (REFUSED, AWAY, busy, AWAY)
    assert told(scene, client(scene).account, *ends) == list(ends)


def test_failures_of_what_changes_something_count_each(scene: Scene) -> None:
    """Of a plan with many groups each one is sent: else one run would go on for all of them on a dead exchange."""
    run = client(scene)
    assert told(scene, lambda: run.close_trade("t1", timestamp_ms=5), AWAY, AWAY, AWAY) == [AWAY] * 3


def test_a_change_that_fails_as_a_read_did_counts(scene: Scene) -> None:
    run = client(scene)
    told(scene, run.account, AWAY)
    assert told(scene, lambda: run.close_trade("t1", timestamp_ms=5), AWAY) == [AWAY, AWAY]


def test_while_a_circuit_is_open_the_breakers_hear_of_each_end(scene: Scene) -> None:
    """It may be the probe's: one that is not told has not failed, and the next would go at once."""
    scene.has_open = True
    assert told(scene, client(scene).account, AWAY, AWAY) == [AWAY, AWAY]


def test_failures_of_public_calls_count_each(scene: Scene) -> None:
    public = client(scene, None)
    scene.failure = Unavailable("away")
    for _ in range(2):
        with pytest.raises(Unavailable):
            public.ticker()
    assert [step[0] for step in scene.seen if step[0] in ("report", "withdraw")] == ["report", "report"]


def test_a_client_that_breaks_has_shown_nothing(scene: Scene) -> None:
    scene.failure = RuntimeError("a mistake")
    with pytest.raises(RuntimeError):
        client(scene).account()
    assert scene.seen[-1] == ("withdraw", "lnmarkets@host", "account", False)


def test_who_is_told_to_wait_slows_all_that_share_the_key(scene: Scene) -> None:
    scene.failure = Unavailable("too many", retry_after=3.0)
    with pytest.raises(Unavailable):
        client(scene).close_trade("t1", timestamp_ms=5)
    assert ("slow_down", "key:lnmarkets@host:fingerprint", 3.0) in scene.seen


@pytest.mark.parametrize(("status", "slows"), [(429, True), (503, False)])
def test_a_429_that_does_not_say_how_long_slows_for_a_second(scene: Scene, status: int, slows: bool) -> None:
    scene.failure = Unavailable("no", details={"httpStatus": status})
    with pytest.raises(Unavailable):
        client(scene).account()
    assert (("slow_down", "key:lnmarkets@host:fingerprint", 1.0) in scene.seen) is slows
