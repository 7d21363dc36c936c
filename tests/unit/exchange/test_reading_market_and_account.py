"""Market data, the account and its notifications as they are read."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from axisor_executor.exchange import Candle, ExchangeAccount, FundingSettlement, Leader, Notification, Ticker
from axisor_executor.exchange.answers import account, market
from axisor_executor.exchange.answers.fields import UnreadableAnswer
from tests.unit.exchange.samples import ACCOUNT, CANDLE, LEADERBOARD, NOTIFICATION, SETTLEMENT, TICKER, decoded

JUNK: tuple[Any, ...] = (None, {}, True, "x" * 10_001)


def test_ticker() -> None:
    assert market.ticker(decoded(TICKER)) == Ticker(
        last_price=Decimal("50000.5"),
        index=Decimal("50010.5"),
        time=datetime(2026, 11, 22, 7, 59, 58, 500_000, tzinfo=UTC),
        funding_rate=Decimal("0.0001"),
        funding_time=datetime(2026, 11, 22, 8, tzinfo=UTC),
    )


def test_account() -> None:
    assert account.account(decoded({**ACCOUNT, "email": "a@b.example", "linkingPublicKey": "02ab"})) == ExchangeAccount(
        id=ACCOUNT["id"],
        balance=1_000_000,
        username="someone",
        email="a@b.example",
        synthetic_usd_balance=Decimal(0),
        fee_tier=0,
        linking_public_key="02ab",
    )


def test_who_the_owner_is_is_not_shown() -> None:
    shown = repr(account.account(decoded({**ACCOUNT, "email": "a@b.example", "linkingPublicKey": "02ab"})))
    assert not [personal for personal in ("someone", "a@b.example", "02ab") if personal in shown]


@pytest.mark.parametrize("name", ["username", "email", "syntheticUsdBalance", "feeTier", "linkingPublicKey"])
@pytest.mark.parametrize("junk", [None, [], "\x00", "x" * 600, Decimal("1e30")])
def test_account_is_read_without_what_only_informs(name: str, junk: Any) -> None:
    whole = account.account(decoded(ACCOUNT))
    for row in ({**ACCOUNT, name: junk}, {key: value for key, value in ACCOUNT.items() if key != name}):
        found = account.account(decoded(row))
        assert (found.id, found.balance) == (whole.id, whole.balance)
        attribute = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
        assert getattr(found, attribute) is None


@pytest.mark.parametrize("name", ["fundingRate", "fundingTime"])
def test_price_is_read_without_what_only_informs(name: str) -> None:
    found = market.ticker(decoded({**TICKER, name: "soon"}))
    assert found.last_price == Decimal("50000.5")
    assert None in (found.funding_rate, found.funding_time)


@pytest.mark.parametrize("name", ["lastPrice", "index", "time"])
def test_ticker_without_its_price_is_unreadable(name: str) -> None:
    with pytest.raises(UnreadableAnswer, match=name):
        market.ticker(decoded({**TICKER, name: None}))


def test_candle_settlement_and_leaderboard() -> None:
    assert market.candle(decoded(CANDLE)) == Candle(
        time=datetime(2026, 11, 22, 7, 59, tzinfo=UTC),
        open=Decimal("50000.5"),
        high=Decimal(50_100),
        low=Decimal("49900.5"),
        close=Decimal(50_050),
        volume=Decimal(1_234_567),
    )
    assert market.funding_settlement(decoded(SETTLEMENT)) == FundingSettlement(
        SETTLEMENT["id"], datetime(2026, 11, 22, tzinfo=UTC), Decimal("-0.0001"), Decimal("50000.5")
    )
    board = market.leaderboard(decoded(LEADERBOARD))
    assert board.daily == board.all_time == (Leader("someone", -1234, 1),)
    assert (board.weekly, len(board.monthly)) == ((), 2)


def test_notification_is_one_line() -> None:
    assert account.notification(decoded(NOTIFICATION)) == Notification(
        id=NOTIFICATION["id"],
        created_at=datetime(2026, 11, 22, 7, tzinfo=UTC),
        message="Your position was liquidated",
        type="liquidation",
        is_read=False,
    )
    bare = {name: NOTIFICATION[name] for name in ("id", "createdAt", "message")}
    assert (account.notification(bare).type, account.notification(bare).is_read) == (None, None)


@pytest.mark.parametrize(
    ("read", "sample"),
    [
        (market.candle, CANDLE),
        (market.funding_settlement, SETTLEMENT),
        (market.leaderboard, LEADERBOARD),
        (account.notification, {name: NOTIFICATION[name] for name in ("id", "createdAt", "message")}),
    ],
)
def test_what_lacks_a_field_or_has_junk_in_it_is_unreadable(read: Any, sample: dict[str, Any]) -> None:
    for name in sample:
        with pytest.raises(UnreadableAnswer, match=name):
            read(decoded({key: value for key, value in sample.items() if key != name}))
        for junk in JUNK:
            with pytest.raises(UnreadableAnswer):
                read(decoded({**sample, name: junk}))
