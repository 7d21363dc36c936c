"""The simulation inside the executor's process: it is the exchange that answers over HTTP, and its books balance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("axisor_executor.hookspecs", reason="the executor is not installed")

from axisor_executor.credentials import SecureCredentials
from axisor_executor.errors import Rejected
from axisor_executor.exchange import (
    CrossOrder,
    CrossPosition,
    ExchangeOptions,
    LNMarketsClient,
    NewCrossOrder,
    NewTrade,
    Page,
    Trade,
)
from axisor_executor.exchange.simulation import Fired, Simulation, SimulationOptions
from axisor_executor.plugins import discover, load
from axisor_paper_exchange.plugin import paper_simulation

START = datetime(2026, 1, 1, tzinfo=UTC)
OPTIONS = SimulationOptions(at=START, price=Decimal(50_000))


def simulated(*, balance: int = 1_000_000, **options: Any) -> Simulation:
    simulation = paper_simulation(replace(OPTIONS, **options))
    simulation.add_account("me", balance=balance)
    return simulation


def after(simulation: Simulation, price: float | Decimal, *, seconds: int = 60) -> list[Fired]:
    return list(simulation.move(simulation.now + timedelta(seconds=seconds), Decimal(str(price))))


def buy(**order: Any) -> NewTrade:
    return NewTrade(**({"type": "market", "side": "buy", "quantity": 100, "leverage": Decimal(10)} | order))


def test_the_executor_finds_it() -> None:
    registry = load([one for one in discover() if one.distribution == "axisor-paper-exchange"])
    assert registry.simulations == {"paper": paper_simulation}


class TestMarket:
    def test_time_and_price_are_the_callers(self) -> None:
        simulation = simulated()
        client = simulation.client("me")
        after(simulation, "50000.5", seconds=90)
        answer = client.ticker()
        assert answer.server_time == simulation.now == answer.value.time == START + timedelta(seconds=90)
        assert answer.value.last_price == simulation.price == Decimal("50000.5")

    @pytest.mark.parametrize(
        ("seconds", "price", "message"),
        [(-1, "50000", "is before"), (0, "50000.3", "multiple of 0.5"), (0, "0", "multiple of 0.5")],
    )
    def test_what_can_not_be_is_refused(self, seconds: int, price: str, message: str) -> None:
        simulation = simulated()
        with pytest.raises(ValueError, match=message):
            simulation.move(START + timedelta(seconds=seconds), Decimal(price))
        assert (simulation.now, simulation.price) == (START, 50_000)

    @pytest.mark.parametrize("bad", [{"price": Decimal(0)}, {"spread": Decimal("-1")}, {"fee_rate": Decimal(1)}])
    def test_options_that_no_exchange_has_are_refused(self, bad: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"is from 0|positive multiple"):
            paper_simulation(replace(OPTIONS, **bad))

    @pytest.mark.parametrize(("name", "balance"), [("me", 5), ("you", -1)])
    def test_accounts_that_can_not_be_are_refused(self, name: str, balance: int) -> None:
        with pytest.raises(ValueError, match=r"already|at least 0"):
            simulated().add_account(name, balance=balance)

    def test_the_way_is_walked(self) -> None:
        simulation = simulated()
        client = simulation.client("me")
        long = client.open_trade(buy(stoploss=Decimal(49_000))).value
        resting = client.open_trade(buy(type="limit", price=Decimal(48_500), leverage=Decimal(100))).value
        fired = after(simulation, 47_000)
        assert fired == [
            Fired("me", "stoploss", long.id, Decimal(49_000)),
            Fired("me", "filled", resting.id, Decimal(48_500)),
            Fired("me", "liquidation", resting.id, resting.liquidation),
        ]
        assert client.running_trades().value == ()
        assert simulation.trade("me", long.id) == client.closed_trades().value.items[-1]
        assert simulation.trade("me", "nothing") is None
        assert [one.id for one in simulation.trades("me")] == [long.id, resting.id]

    def test_a_liquidated_cross_position_is_told(self) -> None:
        simulation = simulated()
        client = simulation.client("me")
        client.deposit_cross(100_000)
        client.set_cross_leverage(Decimal(20))
        client.open_cross_order(NewCrossOrder("market", "sell", 500))
        assert simulation.exposure("me") == (0, 500)
        liquidation = client.cross_position().value.liquidation
        assert liquidation is not None
        (fired,) = after(simulation, liquidation)
        assert (fired.what, fired.is_cross, fired.price) == ("liquidation", True, liquidation)
        assert [one.id for one in simulation.cross_orders("me")][-1] == fired.id
        assert not any(simulation.exposure("me"))

    def test_the_same_calls_make_the_same_simulation(self) -> None:
        def played(seed: int) -> list[Trade]:
            simulation = simulated(seed=seed)
            simulation.client("me").open_trade(buy())
            after(simulation, 51_000)
            simulation.settle_funding(Decimal("0.0001"))
            return list(simulation.trades("me"))

        assert played(7) == played(7)
        assert [one.id for one in played(7)] != [one.id for one in played(8)]


class TestBooks:
    def test_what_an_account_has_made(self) -> None:
        simulation = simulated()
        client = simulation.client("me")
        trade = client.open_trade(buy(quantity=1000)).value
        simulation.settle_funding(Decimal("0.001"))
        assert simulation.exposure("me") == (1000, 0)
        after(simulation, 55_000)
        closed = client.close_trade(trade.id).value
        books = simulation.books("me")
        assert (books.fees, books.funding) == (closed.opening_fee + closed.closing_fee, 2000)
        assert books.pl == closed.pl - books.fees - books.funding
        assert books.balance == books.equity == 1_000_000 + books.pl == simulation.equity("me")
        assert simulation.audit() == []
        assert not any(simulation.exposure("me"))

    @settings(max_examples=80, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 999)), max_size=40), st.sampled_from([0, 4]))
    def test_every_sat_is_accounted_for(self, steps: list[tuple[int, int]], spread: int) -> None:
        """Whatever is done and wherever the price goes: the books balance, and what was made is what trades tell."""
        simulation = simulated(balance=20_000_000, spread=Decimal(spread))
        client = simulation.client("me")
        client.deposit_cross(5_000_000)
        client.set_cross_leverage(Decimal(5))
        for kind, number in steps:
            try:
                play(simulation, kind, number)
            except Rejected:
                continue
        assert simulation.audit() == []
        books, trades, position = simulation.books("me"), simulation.trades("me"), client.cross_position().value
        made = sum(one.pl for one in trades if one.state in ("running", "closed")) + position.total_pl
        taken_before = cashed_profit(simulation)
        assert books.pl == made + taken_before - books.fees - books.funding
        assert books.deposited == 20_000_000

    def test_play_reaches_everything(self) -> None:
        simulation = simulated(balance=20_000_000)
        simulation.client("me").deposit_cross(5_000_000)
        play(simulation, 0, 3)
        play(simulation, 1, 500)
        play(simulation, 2, 0)
        assert simulation.trades("me")


def play(simulation: Simulation, kind: int, number: int) -> None:
    """Do something that a number stands for."""
    client = simulation.client("me")
    running = client.running_trades().value
    chosen = running[number % len(running)].id if running else ""
    side: Any = "buy" if number % 2 else "sell"
    if kind == 0:
        client.open_trade(buy(side=side, quantity=1 + 20 * number, leverage=Decimal(1 + number % 50)))
    elif kind == 1:
        after(simulation, 40_000 + 20 * number)
    elif kind == 2:
        simulation.settle_funding(Decimal(number - 500) / 100_000)
    elif kind == 3:
        client.open_trade(buy(side=side, type="limit", price=Decimal(45_000 + 10 * number)))
    elif kind == 4:
        client.open_cross_order(NewCrossOrder("market", side, 1 + 5 * number))
    elif kind == 5 and chosen:
        client.close_trade(chosen)
    elif kind == 6 and chosen:
        client.add_margin(chosen, 1 + 100 * number)
    elif kind == 7 and chosen:
        client.cash_in(chosen, 1 + 10 * number)
    elif kind == 8 and chosen:
        client.set_stoploss(chosen, Decimal(30_000 + 40 * number))
    elif kind == 9 and chosen:
        client.set_takeprofit(chosen, Decimal(30_000 + 40 * number))


def cashed_profit(simulation: Simulation) -> int:
    """What was cashed in out of profits, which the trades' P&L no longer holds: the engine's own sums."""
    account = simulation._accounts["me"]  # type: ignore[attr-defined]
    return sum(one.sum_cash_in_pl for one in account.trades.values())


class Session:
    """The same things done over HTTP and in the simulation, each in its own way of moving the market."""

    def __init__(
        self,
        client: Any,
        move: Callable[[Decimal], object],
        settle: Callable[[Decimal], object],
    ) -> None:
        self.client = client
        self.move = move
        self.settle = settle
        self.seen: list[Any] = []
        self.names: dict[str, str] = {}

    def see(self, call: Callable[[], Any]) -> Any:
        try:
            value = call().value
        except Rejected as error:
            self.seen.append(error.as_dict())
            return None
        self.seen.append(self.told(value))
        return value

    def told(self, value: Any) -> Any:
        """Without what differs: ids become the order in which they came, instants whether there is one."""
        if isinstance(value, (Trade, CrossOrder, CrossPosition)):
            changed: dict[str, Any] = {"id": self.names.setdefault(value.id, f"id {len(self.names)}")}
            for name in ("created_at", "filled_at", "closed_at", "canceled_at", "updated_at"):
                if hasattr(value, name):
                    changed[name] = getattr(value, name) and START
            return replace(value, **changed)
        if isinstance(value, Page):
            return [self.told(one) for one in value.items], value.next_cursor is None
        return [self.told(one) for one in value] if isinstance(value, tuple) else value

    def play(self) -> None:
        client, see = self.client, self.see
        first = see(lambda: client.open_trade(buy(quantity=777, leverage=Decimal("7.5"), client_id="mine")))
        short = see(
            lambda: client.open_trade(
                buy(side="sell", stoploss=Decimal(52_000), takeprofit=Decimal("48000.5"), leverage=Decimal(25))
            )
        )
        resting = see(lambda: client.open_trade(buy(type="limit", price=Decimal("49000.5"), leverage=Decimal(50))))
        canceled = see(lambda: client.open_trade(buy(type="limit", price=Decimal(60_000))))
        see(lambda: client.cancel_trade(canceled.id))
        see(client.open_trades)
        self.move(Decimal(50_500))
        see(client.running_trades)
        see(lambda: client.add_margin(first.id, 12_345))
        see(lambda: client.cash_in(first.id, 5_000))
        see(lambda: client.set_stoploss(first.id, Decimal(45_000)))
        see(lambda: client.set_stoploss(first.id, Decimal(45_000)))
        see(lambda: client.set_takeprofit(first.id, Decimal("60000.5")))
        see(lambda: client.set_takeprofit(first.id, Decimal(40_000)))
        see(lambda: client.set_takeprofit(first.id, Decimal("60000.3")))
        see(lambda: client.add_margin(first.id, 0))
        see(lambda: client.close_trade("not an id"))
        see(lambda: client.close_trade("b87eef8a-52ab-4fea-adcf-22a4a2b7d1a3"))
        see(lambda: client.open_trade(buy(quantity=500_000)))
        see(lambda: client.open_trade(buy(leverage=Decimal(101))))
        self.settle(Decimal("0.0003"))
        see(client.running_trades)
        self.move(Decimal(47_900))
        see(client.running_trades)
        see(lambda: client.close_trade(resting.id))
        see(lambda: client.close_trade(short.id))
        see(client.closed_trades)
        see(lambda: client.closed_trades(limit=1))
        see(client.canceled_trades)
        see(client.cross_position)
        see(client.close_cross_position)
        see(lambda: client.deposit_cross(200_000))
        see(lambda: client.set_cross_leverage(Decimal(15)))
        see(lambda: client.open_cross_order(NewCrossOrder("market", "sell", 300, client_id="cross")))
        see(lambda: client.open_cross_order(NewCrossOrder("limit", "buy", 100, price=Decimal(47_000))))
        see(client.cross_open_orders)
        self.move(Decimal("46500.5"))
        self.settle(Decimal("-0.0002"))
        see(client.cross_position)
        see(client.close_cross_position)
        see(client.cross_filled_orders)
        see(lambda: client.closed_trades(cursor="nonsense"))
        account = client.account().value
        self.seen.append((account.balance, account.synthetic_usd_balance, account.fee_tier, account.email))


def settle_over_http(paper: Any, rate: Decimal) -> None:
    paper.set(fundingCharged=True, fundingRate=float(rate))
    paper.ask("POST", "market/step", {"seconds": 8 * 3600})


def test_it_is_the_exchange_that_answers_over_http(paper: Any) -> None:
    trader = paper.trader(balance=1_000_000)
    credentials = SecureCredentials(key=trader.key, secret=trader.secret, passphrase=trader.passphrase)
    http = Session(
        LNMarketsClient(ExchangeOptions("paper", f"{paper.url}/v3"), credentials),
        lambda price: paper.move(float(price)),
        lambda rate: settle_over_http(paper, rate),
    )
    simulation = simulated()
    here = Session(
        simulation.client("me"), lambda price: after(simulation, price), lambda rate: simulation.settle_funding(rate)
    )
    http.play()
    here.play()
    assert here.seen == http.seen
    refused = [one["details"]["exchangeCode"] for one in here.seen if isinstance(one, dict)]
    assert refused == [
        "SAME_STOPLOSS",
        "INVALID_PRICE",
        "VALIDATION_ERROR",
        "VALIDATION_ERROR",
        "VALIDATION_ERROR",
        "TRADE_NOT_FOUND",
        "INSUFFICIENT_BALANCE",
        "VALIDATION_ERROR",
        "TRADE_NOT_RUNNING",
        "TRADE_NOT_RUNNING",
        "NO_POSITION",
        "VALIDATION_ERROR",
    ]
    assert simulation.audit() == []
