"""Run jobs of an automation whole: the real executor and its ledger, on the paper exchange, all in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from axisor_executor import accounts, automations
from axisor_executor.api import shown
from axisor_executor.automation import Action, AutomationHandler
from axisor_executor.credentials import SecureCredentials
from axisor_executor.exchange.base import CrossPosition, Trade
from axisor_executor.exchange.simulation import Fired
from axisor_executor.observe.alerts import Alert
from axisor_executor.storage import actions, executions
from axisor_executor.testing.alone import SLUG, Alone, alone
from axisor_executor.testing.cases import fresh
from axisor_executor.testing.defaults import BALANCE, LAST_PRICE, Price
from axisor_executor.testing.stage import ACCOUNT_NAME, Stage

USER = "user-1"


@dataclass(frozen=True)
class AutomationRun:
    """What came of a job. Trades are called as the test named them, new ones ``new-1``, ``new-2`` and so on.

    Attributes:
        result: as it is stored, and given to callers.
        plan: the decision as it is stored, with what was seen; ``None`` where there was none.
        actions: those that took effect, in order; the result tells what became of others.
        trades: all trades after the run, by name, in whatever state.
        cross_position: the cross position after the run.
        balance: free sats after the run.
        price: the last price in USD per BTC.
        fired: what the market set off on its way to that price, before the job ran: a stop loss, a liquidation.
        alerts: what the run alerted of.
        earlier: the runs before, oldest first.
    """

    result: Mapping[str, Any]
    plan: Mapping[str, Any] | None
    actions: tuple[Action, ...]
    trades: Mapping[str, Trade]
    cross_position: CrossPosition
    balance: int
    price: Decimal
    fired: tuple[Fired, ...]
    alerts: tuple[Alert, ...]
    earlier: tuple[AutomationRun, ...] = ()

    @property
    def status(self) -> str:
        """The result's status: ``completed``, ``pending``, ``failed`` or another."""
        return str(self.result["status"])


def run_automation(
    handler: AutomationHandler[Any] | type[AutomationHandler[Any]],
    config: Mapping[str, Any],
    *,
    action: str | None = None,
    trade_id: str | None = None,
    trades: Sequence[Trade] = (),
    cross_position: CrossPosition | None = None,
    price: Price = LAST_PRICE,
    then_price: Price | Sequence[Price] = (),
    balance: int = BALANCE,
) -> AutomationRun:
    """Run a job at ``price``, and one more at each of ``then_price``; return the last run.

    Nothing is left of it, and nothing outside is touched: no Redis, no environment, no network. A run that fails for
    want of something that may come back is not tried again.

    Args:
        handler: the automation type's handler, or its class.
        config: the automation's config; names of ``trades`` in it stand for their ids.
        action: the job's action; ``None``: the config's.
        trade_id: the name of the job's trade.
        trades: running trades and open orders, from :func:`~axisor_executor.testing.make_trade`, oldest first. They are
            opened on the exchange at their own price, so their figures must follow from quantity, price and leverage.
        cross_position: from :func:`~axisor_executor.testing.make_cross_position`, with enough ``margin`` for the
            exchange to take it; its liquidation is the exchange's. ``None``: nothing is held.
        price: the last price in USD per BTC when the job runs, in steps of 0.5.
        then_price: where the market goes from there, one price or several; the job runs again at each.
        balance: free sats before the job runs.

    Raises:
        AxisorError: the paper exchange is not installed (``simulation_missing``).
        InvalidConfig, PluginError: config or handler are refused before anything runs.
        ValueError: the exchange could not have such trades at such a price.
    """
    tested = fresh(handler)
    stage = Stage(trades, cross_position, price=price, balance=balance)
    job = {"userId": USER, "action": action, "tradeId": stage.unnamed(trade_id)}
    with alone(tested, stage.simulation.client(ACCOUNT_NAME)) as parts:
        job["automationId"] = _automation(parts, tested.type, stage.unnamed(dict(config)))
        runs: list[AutomationRun] = []
        for each in (price, *_prices(then_price)):
            runs.append(_run(parts, stage, job, each, tuple(runs)))
    return runs[-1]


def _prices(given: Price | Sequence[Price]) -> Sequence[Price]:
    return [given] if isinstance(given, (Decimal, int, str)) else given


def _automation(parts: Alone, automation_type: str, config: Mapping[str, Any]) -> str:
    keys = SecureCredentials("a-key", "a-secret", "a-passphrase", False)
    account, _ = accounts.add(parts, user_id=USER, name=ACCOUNT_NAME, exchange=SLUG, keys=keys)
    automation, _ = automations.add(parts, user_id=USER, account=account["id"], type=automation_type, config=config)
    return str(automation["id"])


def _run(
    parts: Alone, stage: Stage, job: Mapping[str, Any], price: Price, earlier: tuple[AutomationRun, ...]
) -> AutomationRun:
    fired = stage.move(price)
    for ticker in parts.opener.tickers:
        ticker.forget()
    before = len(parts.alerts.kept)
    taken, _ = parts.intake.take({key: value for key, value in job.items() if value is not None})
    parts.executor.run(taken.id)
    with parts.storage.connection():
        execution = executions.get(parts.storage, taken.id)
        ledger = actions.of(parts.storage, taken.id)
    assert execution is not None  # it was taken
    client = stage.simulation.client(ACCOUNT_NAME)
    trades = stage.trades  # which gives new ones their names
    return AutomationRun(
        result=stage.named(shown(execution)),
        plan=stage.named(execution.plan),
        actions=tuple(stage.named(one.action) for one in ledger if one.status == "confirmed"),
        trades=trades,
        cross_position=stage.named(client.cross_position().value),
        balance=client.account().value.balance,
        price=stage.simulation.price,
        fired=stage.named(fired),
        alerts=stage.named(tuple(parts.alerts.kept[before:])),
        earlier=earlier,
    )
