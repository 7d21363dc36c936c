"""From JSON to typed values: exactly what was written, or nothing. Isolated trades, and what all areas share."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from axisor_executor.exchange import FundingFee, Page, Trade
from axisor_executor.exchange.answers import account, isolated, market
from axisor_executor.exchange.answers.fields import UnreadableAnswer, decode, list_of, page_of
from tests.unit.exchange.samples import FEE, TICKER, decoded, state, trade_json


def test_running_trade_is_read_field_by_field() -> None:
    row = trade_json(
        leverage=9.523809523809524,
        stoploss=46_000.5,
        stoplossTrailingDistance=0.05,
        takeprofit=60_000,
        sumFundingFees=-3,
        sumCashInMargin=500,
        sumCashInPl=70,
        clientId="run-1",
    )
    assert isolated.trade(decoded(row)) == Trade(
        id="b87eef8a-52ab-4fea-adcf-22a4a2b7d1a3",
        type="market",
        side="buy",
        state="running",
        quantity=100,
        margin=20_000,
        leverage=Decimal("9.523809523809524"),
        price=Decimal(50_000),
        entry_price=Decimal(50_000),
        entry_margin=20_000,
        exit_price=None,
        liquidation=Decimal("45454.5"),
        maintenance_margin=220,
        opening_fee=200,
        closing_fee=0,
        pl=-37,
        stoploss=Decimal("46000.5"),
        stoploss_trailing_distance=Decimal("0.05"),
        takeprofit=Decimal(60_000),
        sum_funding_fees=-3,
        created_at=datetime(2026, 11, 22, 7, 59, 59, 123_000, tzinfo=UTC),
        filled_at=datetime(2026, 11, 22, 7, 59, 59, 456_000, tzinfo=UTC),
        closed_at=None,
        client_id="run-1",
        sum_cash_in=570,
        sum_cash_in_margin=500,
    )


def test_no_number_of_a_trade_is_a_float() -> None:
    trade = isolated.trade(decoded(trade_json(exitPrice=50_000.1)))
    assert trade.exit_price == Decimal("50000.1")
    assert not [field.name for field in fields(trade) if isinstance(getattr(trade, field.name), float)]


def test_zero_stop_loss_and_take_profit_mean_none() -> None:
    trade = isolated.trade(decoded(trade_json(stoploss=0, takeprofit=0.0, stoplossTrailingDistance=0)))
    assert (trade.stoploss, trade.takeprofit, trade.stoploss_trailing_distance) == (None, None, None)


@pytest.mark.parametrize("name", ["open", "running", "closed", "canceled"])
def test_one_flag_gives_the_state(name: str) -> None:
    assert isolated.trade(decoded(trade_json(**state(name)))).state == name


@pytest.mark.parametrize(
    "flags",
    [
        {"running": False},
        {"open": True},
        {"closed": 1, "running": False},
        {"canceled": None},
        {"open": "false"},
    ],
)
def test_flags_that_contradict_each_other_are_unreadable(flags: dict[str, Any]) -> None:
    with pytest.raises(UnreadableAnswer):
        isolated.trade(decoded(trade_json(**flags)))


NEEDED = sorted(set(trade_json()) - {"uid"})


@pytest.mark.parametrize("name", NEEDED)
def test_trade_without_a_field_is_unreadable(name: str) -> None:
    row = trade_json()
    del row[name]
    with pytest.raises(UnreadableAnswer, match=name):
        isolated.trade(decoded(row))


@pytest.mark.parametrize("junk", [[], {}, True, "x" * 600, "\x00", Decimal("0.3"), -(10**30), Decimal("1e30")])
@pytest.mark.parametrize("name", NEEDED)
def test_trade_with_junk_in_a_field_is_unreadable(name: str, junk: Any) -> None:
    prices = {"leverage", "price", "entryPrice", "exitPrice", "liquidation", "stoploss", "takeprofit"}
    if junk == Decimal("0.3") and name in prices | {"stoplossTrailingDistance"}:
        return
    if junk is True and name == "running":
        return
    if isinstance(junk, str) and name == "clientId":
        return
    with pytest.raises(UnreadableAnswer):
        isolated.trade(decoded(trade_json(**{name: junk})))


@pytest.mark.parametrize("client_id", ["", "a\x00b", "\ud800", "a\nb", "\u202e", "x" * 600])
def test_client_id_is_whatever_another_program_has_made_it(client_id: str) -> None:
    assert isolated.trade(decoded(trade_json(clientId=client_id))).client_id == client_id


NULLABLE = {"entryPrice", "entryMargin", "exitPrice", "filledAt", "closedAt", "clientId"}


@pytest.mark.parametrize("name", NEEDED)
def test_null_is_read_only_where_it_is_documented(name: str) -> None:
    if name in NULLABLE:
        isolated.trade(decoded(trade_json(**{name: None})))
    else:
        with pytest.raises(UnreadableAnswer):
            isolated.trade(decoded(trade_json(**{name: None})))


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-22T08:00:00.5Z", datetime(2026, 11, 22, 8, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-22T09:00:00+01:00", datetime(2026, 11, 22, 8, tzinfo=UTC)),
        ("2026-11-22T08:00:00", None),
        ("2026-11-22", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_instants_are_utc_or_unreadable(text: str, instant: datetime | None) -> None:
    if instant is None:
        with pytest.raises(UnreadableAnswer):
            market.time({"time": text})
    else:
        assert market.time({"time": text}) == instant
        assert market.time({"time": text}).tzinfo is UTC


@pytest.mark.parametrize("text", ["1e3", "1000.0", "1000", "1E+3"])
def test_whole_amounts_may_be_written_in_any_way(text: str) -> None:
    assert account.account(decode(b'{"id":"a","username":"b","balance":' + text.encode() + b"}")).balance == 1000


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999999999",
        "1e99999999999999999999",
        "9" * 5000,
        '"1"',
        "1.5",
        "1e-3000000",
        "0e-3000000",
    ],
)
def test_amounts_that_are_none_are_unreadable(text: str) -> None:
    with pytest.raises(UnreadableAnswer):
        account.account(decode(b'{"id":"a","username":"b","balance":' + text.encode() + b"}"))


@pytest.mark.parametrize("text", ["1e-401", "-1e-3000000", "0e-3000000", f"50000.{'0' * 401}"])
def test_more_decimals_than_a_number_can_have_are_unreadable(text: str) -> None:
    """It would take seconds and megabytes to write them down."""
    with pytest.raises(UnreadableAnswer, match=r"^lastPrice is not what it should be$"):
        market.ticker({**TICKER, "lastPrice": decode(text.encode())})


def test_all_that_a_double_can_show_are_read() -> None:
    ticker = market.ticker(decoded({**TICKER, "index": 50_000.12345678901, "fundingRate": 5e-324}))
    assert (ticker.index, ticker.funding_rate) == (Decimal("50000.12345678901"), Decimal("5e-324"))


def test_fees_and_pages() -> None:
    fee = FundingFee("s-1", FEE["tradeId"], 12, datetime(2026, 11, 22, tzinfo=UTC))
    assert page_of(isolated.funding_fee)({"data": [FEE], "nextCursor": "n"}) == Page((fee,), "n")
    with pytest.raises(UnreadableAnswer, match="nextCursor"):
        page_of(isolated.trade)({"data": []})
    with pytest.raises(UnreadableAnswer, match="not a list"):
        page_of(isolated.trade)({"data": {}, "nextCursor": None})


def test_one_unreadable_trade_makes_the_list_unreadable() -> None:
    with pytest.raises(UnreadableAnswer):
        list_of(isolated.trade)(decoded([trade_json(), trade_json(margin="20000")]))


def test_message_of_an_unreadable_answer_shows_no_value() -> None:
    with pytest.raises(UnreadableAnswer) as raised:
        isolated.trade(decoded(trade_json(side="canary")))
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_is_read_by_its_content_type(content_type: str) -> None:
    assert decode(b"[1.10]", content_type) == [Decimal("1.10")]


@pytest.mark.parametrize("content_type", ["", "text/html", "text/json", "application/jsonp"])
def test_anything_else_is_not(content_type: str) -> None:
    with pytest.raises(UnreadableAnswer):
        decode(b"[1.10]", content_type)
