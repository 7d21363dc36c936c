"""The exchange in process: orders, exits, triggers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from axisor_paper_exchange.engine import LONG, SHORT, Account, Exchange, NewTrade, Rejected, Trade, audit, seeded_ids

NOW = 1_795_000_000_000
BALANCE = 1_000_000


def at(price: float) -> int:
    return int(price * 2)


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(price=at(50_000))


@pytest.fixture
def alice(exchange: Exchange) -> Account:
    return exchange.open_account("alice", BALANCE, NOW)


def order(**values: Any) -> NewTrade:
    return NewTrade(**{"side": LONG, "leverage": Decimal(10), "quantity": None if "margin" in values else 10, **values})


def moved(exchange: Exchange, price: float) -> list[tuple[str, float]]:
    fired = exchange.move_price(at(price), NOW)
    assert audit(exchange) == []
    return [(row.what, row.price / 2) for row in fired]


def test_market_order_takes_margin_and_fees(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(), NOW)
    assert (trade.state, trade.entry_price, trade.margin) == ("running", at(50_000), 2000)
    assert (trade.opening_fee, trade.maintenance_margin) == (20, 22)
    assert alice.balance == BALANCE - 2000 - 20 - 22
    assert list(alice.running) == [trade.id]


def test_closing_gives_back_what_is_left(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(), NOW)
    moved(exchange, 55_000)
    exchange.close(alice, trade.id, NOW)
    assert (trade.realized, trade.closing_fee, trade.exit_price) == (1818, 18, at(55_000))
    assert alice.balance == BALANCE + 1818 - 20 - 18
    assert audit(exchange) == []


def test_spread_costs_on_both_ends(alice: Account, exchange: Exchange) -> None:
    exchange.market.spread = at(10)
    long = exchange.place(alice, order(), NOW)
    short = exchange.place(alice, order(side=SHORT), NOW)
    assert (long.entry_price, short.entry_price) == (at(50_005), at(49_995))
    exchange.close(alice, long.id, NOW)
    exchange.close(alice, short.id, NOW)
    assert (long.exit_price, short.exit_price) == (at(49_995), at(50_005))


def test_size_by_margin(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(margin=2100), NOW)
    assert (trade.quantity, trade.margin, trade.leverage) == (10, 2100, 10)


@pytest.mark.parametrize("margin", [1, 19])
def test_margin_for_less_than_a_dollar(exchange: Exchange, alice: Account, margin: int) -> None:
    with pytest.raises(Rejected, match="Quantity"):
        exchange.place(alice, order(margin=margin, leverage=Decimal(1)), NOW)


@pytest.mark.parametrize(
    "values",
    [
        {"quantity": 0},
        {"quantity": 500_001},
        {"quantity": 10, "margin": 10},
        {"quantity": None},
        {"leverage": Decimal("0.99")},
        {"leverage": Decimal("100.01")},
        {"margin": 0},
        {"client_id": ""},
        {"client_id": "x" * 65},
        {"price": 0},
    ],
)
def test_orders_out_of_range_change_nothing(exchange: Exchange, alice: Account, values: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as refused:
        exchange.place(alice, order(**values), NOW)
    assert (refused.value.status, refused.value.code) == (400, "VALIDATION_ERROR")
    assert (alice.balance, alice.trades) == (BALANCE, {})


def test_balance_must_cover_margin_and_fees(exchange: Exchange) -> None:
    poor = exchange.open_account("poor", 2041, NOW)
    with pytest.raises(Rejected) as refused:
        exchange.place(poor, order(), NOW)
    assert refused.value.code == "INSUFFICIENT_BALANCE"
    assert refused.value.details == {"balance": 2041, "required": 2042}
    exchange.place(exchange.open_account("just enough", 2042, NOW), order(), NOW)


# Limit orders


def test_limit_order_waits_for_its_price(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(price=at(48_000)), NOW)
    assert (trade.state, trade.opening_fee, trade.filled_at) == ("open", 0, None)
    assert moved(exchange, 48_000.5) == []
    assert moved(exchange, 48_000) == [("fill", 48_000)]
    assert (trade.state, trade.entry_price, trade.opening_fee) == ("running", at(48_000), 20)


@pytest.mark.parametrize("side", [LONG, SHORT])
@pytest.mark.parametrize("price", [45_000, 55_000])
def test_limit_orders_rest_on_either_side_of_the_market(
    exchange: Exchange, alice: Account, side: int, price: int
) -> None:
    trade = exchange.place(alice, order(side=side, price=at(price)), NOW)
    assert trade.state == "open"
    assert moved(exchange, price) == [("fill", price)]


def test_limit_order_at_the_market_is_filled(exchange: Exchange, alice: Account) -> None:
    assert exchange.place(alice, order(price=at(50_000)), NOW).state == "running"


@pytest.mark.parametrize(("side", "price"), [(LONG, 50_000), (LONG, 52_000), (SHORT, 48_000)])
def test_crossing_limits_fill_at_the_market_when_told_to(
    alice: Account, exchange: Exchange, side: int, price: int
) -> None:
    exchange.crossing_limits_fill = True
    trade = exchange.place(alice, order(side=side, price=at(price)), NOW)
    assert (trade.state, trade.entry_price) == ("running", at(50_000))
    resting = exchange.place(alice, order(side=side, price=at(50_000 - side * 1000)), NOW)
    assert resting.state == "open"


def test_cancelling_gives_everything_back(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(price=at(48_000)), NOW)
    assert alice.balance == BALANCE - 2084 - 20 - 22
    exchange.cancel(alice, trade.id, NOW + 5)
    assert (alice.balance, trade.state, trade.closed_at) == (BALANCE, "canceled", NOW + 5)
    assert moved(exchange, 47_000) == []


def test_cancel_all_leaves_running_trades(exchange: Exchange, alice: Account) -> None:
    running = exchange.place(alice, order(), NOW)
    waiting = [exchange.place(alice, order(price=at(40_000 + step)), NOW) for step in range(3)]
    assert exchange.cancel_all(alice, NOW) == waiting
    assert list(alice.running) == [running.id]
    assert exchange.cancel_all(alice, NOW) == []


# Exits and liquidation


@pytest.mark.parametrize(
    ("values", "price", "what", "level"),
    [
        ({"takeprofit": at(52_000)}, 52_000, "takeprofit", 52_000),
        ({"takeprofit": at(52_000)}, 60_000, "takeprofit", 52_000),
        ({"stoploss": at(49_000)}, 49_000, "stoploss", 49_000),
        ({"stoploss": at(49_000)}, 30_000, "stoploss", 49_000),
        ({}, 45_454.5, "liquidation", 45_454.5),
        ({"side": SHORT, "takeprofit": at(48_000)}, 47_000, "takeprofit", 48_000),
        ({"side": SHORT, "stoploss": at(51_000)}, 51_000, "stoploss", 51_000),
        ({"side": SHORT}, 60_000, "liquidation", 55_555.5),
    ],
)
def test_exits_close_at_their_price(
    exchange: Exchange, alice: Account, values: dict[str, Any], price: float, what: str, level: float
) -> None:
    trade = exchange.place(alice, order(**values), NOW)
    assert moved(exchange, price) == [(what, level)]
    assert (trade.state, trade.closed_by, trade.exit_price) == ("closed", what, at(level))


def test_liquidation_takes_the_margin(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(), NOW)
    moved(exchange, 40_000)
    assert (trade.realized, trade.closing_fee) == (-2000, 22)
    assert alice.balance == BALANCE - 2042


def test_fees_take_no_more_than_is_left(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(), NOW)
    exchange.add_margin(alice, trade.id, 18_000, NOW)
    balance = alice.balance
    moved(exchange, 20_000)
    assert (trade.closed_by, trade.exit_price, trade.realized) == ("liquidation", at(25_000), -20_000)
    # 40 sats are due at that price, 22 were set aside.
    assert (trade.closing_fee, alice.balance) == (22, balance)


def test_exits_of_a_new_limit_order_are_about_its_price(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(price=at(40_000), stoploss=at(39_000), takeprofit=at(41_000)), NOW)
    assert moved(exchange, 40_000) == [("fill", 40_000)]
    assert moved(exchange, 41_000) == [("takeprofit", 41_000)]
    assert trade.realized == 609


def test_one_move_fills_and_stops_out(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(price=at(48_000), stoploss=at(47_000)), NOW)
    assert moved(exchange, 46_000) == [("fill", 48_000), ("stoploss", 47_000)]
    assert trade.closed_by == "stoploss"


def test_triggers_fire_in_the_order_of_the_way(exchange: Exchange, alice: Account) -> None:
    first = exchange.place(alice, order(stoploss=at(48_000)), NOW)
    second = exchange.place(alice, order(stoploss=at(49_000)), NOW)
    third = exchange.place(alice, order(stoploss=at(49_000)), NOW)
    fired = exchange.move_price(at(47_000), NOW)
    assert [row.trade for row in fired] == [second, third, first]


def test_removed_exits_do_not_fire(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(stoploss=at(49_000), takeprofit=at(52_000)), NOW)
    exchange.set_stoploss(alice, trade.id, 0)
    exchange.set_takeprofit(alice, trade.id, 0)
    assert moved(exchange, 48_000) == moved(exchange, 53_000) == []


@pytest.mark.parametrize(
    "values",
    [
        {"stoploss": at(50_000)},
        {"stoploss": at(45_454)},
        {"takeprofit": at(50_000)},
        {"stoploss": at(51_000), "takeprofit": at(52_000)},
        {"side": SHORT, "stoploss": at(50_000)},
        {"side": SHORT, "stoploss": at(55_556)},
        {"side": SHORT, "takeprofit": at(50_000)},
        {"price": at(48_000), "stoploss": at(48_000)},
        {"price": at(48_000), "takeprofit": at(48_000)},
    ],
)
def test_exits_on_the_wrong_side(exchange: Exchange, alice: Account, values: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as refused:
        exchange.place(alice, order(**values), NOW)
    assert refused.value.code == "INVALID_PRICE"
    assert alice.balance == BALANCE


def test_stoploss_at_the_liquidation_is_allowed(exchange: Exchange, alice: Account) -> None:
    assert exchange.place(alice, order(stoploss=at(45_454.5)), NOW).stoploss == at(45_454.5)


@pytest.mark.parametrize("value", [50_000, 52_000, 45_000])
def test_new_stoploss_on_the_wrong_side(exchange: Exchange, alice: Account, value: int) -> None:
    trade = exchange.place(alice, order(takeprofit=at(51_000)), NOW)
    with pytest.raises(Rejected, match="Stoploss must"):
        exchange.set_stoploss(alice, trade.id, at(value))


def test_new_takeprofit_must_beat_entry_and_market(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(), NOW)
    moved(exchange, 52_000)
    for value in (49_000, 51_000, 52_000):
        with pytest.raises(Rejected, match="Takeprofit must be above"):
            exchange.set_takeprofit(alice, trade.id, at(value))
    moved(exchange, 48_000)
    with pytest.raises(Rejected, match="Takeprofit must be above"):
        exchange.set_takeprofit(alice, trade.id, at(49_000))


def test_setting_the_present_value_is_refused(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(), NOW)
    exchange.set_takeprofit(alice, trade.id, at(52_000))
    exchange.set_stoploss(alice, trade.id, at(49_000))
    with pytest.raises(Rejected, match="same as the previous one"):
        exchange.set_takeprofit(alice, trade.id, at(52_000))
    with pytest.raises(Rejected, match="same as the previous one"):
        exchange.set_stoploss(alice, trade.id, at(49_000))


def test_exits_of_an_open_order_are_about_its_price(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(price=at(40_000)), NOW)
    exchange.set_stoploss(alice, trade.id, at(39_000))
    exchange.set_takeprofit(alice, trade.id, at(41_000))
    assert moved(exchange, 39_000) == [("fill", 40_000), ("stoploss", 39_000)]


# Trailing stop loss


@pytest.mark.parametrize(
    ("side", "way", "levels"),
    [
        (LONG, [51_000, 52_000, 51_500], [48_450, 49_400, 49_400]),
        (SHORT, [49_000, 48_000, 48_500], [51_450, 50_400, 50_400]),
    ],
)
def test_trailing_stoploss_follows_the_best_price(
    exchange: Exchange, alice: Account, side: int, way: list[int], levels: list[int]
) -> None:
    trade = exchange.place(alice, order(side=side), NOW)
    exchange.set_trailing_stoploss(alice, trade.id, Decimal("0.05"))
    for price, level in zip(way, levels, strict=True):
        moved(exchange, price)
        assert trade.stoploss == at(level)
    assert moved(exchange, levels[-1]) == [("stoploss", levels[-1])]


@pytest.mark.parametrize(
    ("side", "begins", "best", "follows"), [(LONG, 49_500, 51_000, 50_490), (SHORT, 50_500, 49_000, 49_490)]
)
def test_a_trade_opened_with_a_trailing_stoploss(
    exchange: Exchange, alice: Account, side: int, begins: int, best: int, follows: int
) -> None:
    trade = exchange.place(alice, order(side=side, trailing_stoploss=Decimal("0.01")), NOW)
    assert (trade.stoploss, trade.stoploss_trailing_distance) == (at(begins), Decimal("0.01"))
    moved(exchange, best)
    assert trade.stoploss == at(follows)
    assert moved(exchange, 50_000) == [("stoploss", follows)]


def test_the_trailing_stoploss_of_an_order_follows_from_the_fill_on(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(price=at(48_000), trailing_stoploss=Decimal("0.01")), NOW)
    moved(exchange, 52_000)
    assert (trade.state, trade.stoploss) == ("open", at(47_520))
    assert moved(exchange, 48_000) == [("fill", 48_000)]
    assert trade.stoploss == at(47_520)
    moved(exchange, 49_000)
    assert trade.stoploss == at(48_510)


def test_an_order_whose_trailing_stoploss_was_replaced_does_not_trail(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(price=at(48_000), trailing_stoploss=Decimal("0.01")), NOW)
    exchange.set_stoploss(alice, trade.id, at(47_000))
    moved(exchange, 48_000)
    moved(exchange, 52_000)
    assert (trade.stoploss, trade.stoploss_trailing_distance) == (at(47_000), 0)


@pytest.mark.parametrize("distance", ["0.0009", "10.1", "0.2", "1", "10", "-1"])
@pytest.mark.parametrize("price", [None, 48_000])
def test_an_order_with_an_impossible_trailing_stoploss(
    exchange: Exchange, alice: Account, distance: str, price: int | None
) -> None:
    limit = None if price is None else at(price)
    with pytest.raises(Rejected):
        exchange.place(alice, order(price=limit, trailing_stoploss=Decimal(distance)), NOW)
    assert exchange.trades == {}


def test_trailing_gives_way_to_fixed_and_back(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(), NOW)
    exchange.set_trailing_stoploss(alice, trade.id, Decimal("0.05"))
    with pytest.raises(Rejected, match="same as the previous one"):
        exchange.set_trailing_stoploss(alice, trade.id, Decimal("0.05"))
    exchange.set_stoploss(alice, trade.id, at(47_500))
    assert trade.stoploss_trailing_distance == 0
    moved(exchange, 52_000)
    assert trade.stoploss == at(47_500)


@pytest.mark.parametrize("distance", ["0.0009", "10.1", "0.2", "-1"])
def test_trailing_distance_out_of_range(exchange: Exchange, alice: Account, distance: str) -> None:
    trade = exchange.place(alice, order(), NOW)
    with pytest.raises(Rejected):
        exchange.set_trailing_stoploss(alice, trade.id, Decimal(distance))
    assert trade.stoploss == 0


# Margin


def test_adding_margin(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(), NOW)
    exchange.add_margin(alice, trade.id, 500, NOW)
    assert (trade.margin, trade.leverage, trade.liquidation) == (2500, 8, at(44_444.5))
    assert alice.balance == BALANCE - 2042 - 500
    with pytest.raises(Rejected, match="Leverage"):
        exchange.add_margin(alice, trade.id, 17_501, NOW)
    exchange.add_margin(alice, trade.id, 17_500, NOW)
    assert (trade.leverage, trade.liquidation) == (1, at(25_000))


def test_adding_more_margin_than_there_is(exchange: Exchange) -> None:
    poor = exchange.open_account("poor", 2100, NOW)
    trade = exchange.place(poor, order(), NOW)
    with pytest.raises(Rejected, match="Insufficient balance"):
        exchange.add_margin(poor, trade.id, 59, NOW)
    exchange.add_margin(poor, trade.id, 58, NOW)
    assert poor.balance == 0


def test_cashing_in_takes_profit_first(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(), NOW)
    moved(exchange, 55_000)
    exchange.cash_in(alice, trade.id, 1000, NOW)
    assert (trade.sum_cash_in_pl, trade.sum_cash_in_margin, trade.margin) == (1000, 0, 2000)
    assert trade.profit_at(at(55_000)) == 818
    assert at(50_000) < trade.current_entry == trade.price < at(55_000)
    exchange.cash_in(alice, trade.id, 1018, NOW)
    assert (trade.sum_cash_in_pl, trade.sum_cash_in_margin, trade.margin) == (1818, 200, 1800)
    assert trade.profit_at(at(55_000)) == 0
    assert trade.current_entry == at(55_000)
    assert alice.balance == BALANCE - 2042 + 2018
    assert audit(exchange) == []


def test_cashing_in_too_much(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(), NOW)
    for amount in (2000, 5000):
        with pytest.raises(Rejected, match="margin"):
            exchange.cash_in(alice, trade.id, amount, NOW)
    with pytest.raises(Rejected, match="Leverage"):
        exchange.cash_in(alice, trade.id, 1801, NOW)
    exchange.cash_in(alice, trade.id, 1800, NOW)
    assert trade.leverage == 100


def test_cashing_in_below_water_must_not_liquidate(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(), NOW)
    moved(exchange, 46_000)
    with pytest.raises(Rejected, match="liquidated"):
        exchange.cash_in(alice, trade.id, 300, NOW)


def test_cashing_in_drops_a_stoploss_beyond_the_liquidation(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(stoploss=at(45_500)), NOW)
    kept = exchange.place(alice, order(stoploss=at(49_000)), NOW)
    for each in (trade, kept):
        exchange.cash_in(alice, each.id, 1000, NOW)
    assert (trade.stoploss, kept.stoploss) == (0, at(49_000))
    assert trade.liquidation > at(45_500)


# Ownership and state


def test_trades_of_others_and_of_nobody(exchange: Exchange, alice: Account) -> None:
    trade = exchange.place(alice, order(), NOW)
    bob = exchange.open_account("bob", BALANCE, NOW)
    with pytest.raises(Rejected, match="You do not own this trade") as refused:
        exchange.close(bob, trade.id, NOW)
    assert refused.value.status == 400
    with pytest.raises(Rejected) as refused:
        exchange.close(bob, seeded_ids(7)(), NOW)
    assert refused.value.status == 404


def finished(exchange: Exchange, account: Account) -> Trade:
    trade = exchange.place(account, order(), NOW)
    return exchange.close(account, trade.id, NOW)


def test_commands_on_a_closed_trade(exchange: Exchange, alice: Account) -> None:
    trade = finished(exchange, alice)
    for command in (
        lambda: exchange.close(alice, trade.id, NOW),
        lambda: exchange.cancel(alice, trade.id, NOW),
        lambda: exchange.add_margin(alice, trade.id, 1, NOW),
        lambda: exchange.cash_in(alice, trade.id, 1, NOW),
        lambda: exchange.set_takeprofit(alice, trade.id, at(60_000)),
        lambda: exchange.set_stoploss(alice, trade.id, at(49_000)),
        lambda: exchange.set_trailing_stoploss(alice, trade.id, Decimal("0.05")),
    ):
        with pytest.raises(Rejected, match="Trade is closed") as refused:
            command()
        assert refused.value.status == 400
    assert alice.balance == BALANCE - 40


def test_running_trades_are_not_canceled_and_open_ones_not_closed(exchange: Exchange, alice: Account) -> None:
    running = exchange.place(alice, order(), NOW)
    waiting = exchange.place(alice, order(price=at(40_000)), NOW)
    with pytest.raises(Rejected, match="Trade is running"):
        exchange.cancel(alice, running.id, NOW)
    with pytest.raises(Rejected, match="Trade is open"):
        exchange.close(alice, waiting.id, NOW)


def test_the_same_seed_gives_the_same_ids() -> None:
    first, second, other = seeded_ids(1), seeded_ids(1), seeded_ids(2)
    ids = [first() for _ in range(3)]
    assert ids == [second() for _ in range(3)]
    assert other() not in ids
