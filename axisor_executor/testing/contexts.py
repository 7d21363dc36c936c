"""A context made of plain values, as the executor makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeVar

from axisor_executor.automation import (
    AccountContext,
    AccountInfo,
    AutomationConfig,
    AutomationHandler,
    AutomationInfo,
    JobInfo,
    OwnEntry,
)
from axisor_executor.automation.versions import KEY, upgraded
from axisor_executor.exchange.base import CrossPosition, Trade
from axisor_executor.testing.defaults import ACCOUNT, BALANCE, LAST_PRICE, NOW, Price
from axisor_executor.testing.reads import PlainReads

ConfigT = TypeVar("ConfigT", bound=AutomationConfig)


def make_context(
    config: ConfigT | Mapping[str, Any],
    *,
    handler: AutomationHandler[ConfigT] | type[AutomationHandler[ConfigT]],
    action: str | None = None,
    trade_id: str | None = None,
    price: Price | None = LAST_PRICE,
    running: Sequence[Trade] | None = (),
    open_orders: Sequence[Trade] | None = (),
    finished: Sequence[Trade] | None = (),
    cross_position: CrossPosition | None = None,
    balance: int | None = BALANCE,
    own: Sequence[Trade] | None = (),
    entries: Sequence[OwnEntry] | None = (),
    acted_on: Mapping[str, datetime] | None = MappingProxyType({}),
    lineage: Mapping[str, str] | None = None,
    now: datetime = NOW,
    account: AccountInfo = ACCOUNT,
    automation: AutomationInfo | None = None,
) -> AccountContext[ConfigT]:
    """Return the context in which ``handler`` would decide about a job, as the executor makes it.

    Args:
        config: the automation row's config (validated as the executor does), or a config model as it is. One without
            ``config_version`` is of the handler's own; with an older one it is upgraded.
        handler: the automation type's handler, or its class.
        action: the job's action; ``None``: the config's.
        trade_id: the job's trade; the lineage is followed.
        price: the last price in USD per BTC; ``None``: stale, reading it raises ``StaleData``.
        running: the account's running trades; ``None``: reading them raises ``Unavailable``.
        open_orders: its limit orders that are not filled yet; ``None`` as above.
        finished: its closed and canceled trades; ``None`` as above.
        cross_position: the account's cross position; ``None``: it can't be read.
        balance: free sats; ``None``: it can't be read.
        own: the running trades and open orders that this automation opened; ``None``: they can't be read.
        entries: what this automation has opened, or may have opened; ``None``: it can't be read.
        acted_on: trade id -> when this automation last acted on it, for a config's cooldown; ``None`` as above.
        lineage: old trade id -> the id that replaced it.

    Raises:
        InvalidJob: as in the executor, for an action that is refused.
        InvalidConfig: as in the executor, for a config that is refused.
    """
    handler = handler() if isinstance(handler, type) else handler
    raw = config.model_dump() if isinstance(config, AutomationConfig) else _newest(handler, config)
    chosen = handler.choose_action(action, raw)
    if not isinstance(config, AutomationConfig):
        config = handler.parse_config(raw, chosen)
    elif "action" in type(config).model_fields:
        config = config.model_copy(update={"action": chosen})
    reads = PlainReads(
        last_price=None if price is None else Decimal(price),
        running_trades=None if running is None else tuple(running),
        orders=None if open_orders is None else tuple(open_orders),
        finished_trades=None if finished is None else tuple(finished),
        cross=cross_position,
        free_balance=balance,
        own=None if own is None else tuple(own),
        entries=None if entries is None else tuple(entries),
        acted=None if acted_on is None else dict(acted_on),
        lineage=dict(lineage or {}),
    )
    return AccountContext(
        account=account,
        automation=automation or AutomationInfo(id="automation-1", type=handler.type),
        config=config,
        job=JobInfo(action=chosen, trade_id=None if trade_id is None else reads.current_id(trade_id)),
        now=now,
        reads=reads,
    )


def _newest(handler: AutomationHandler[ConfigT], config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row's config as the handler reads it; one that names no version is of the handler's own."""
    if config.get(KEY) is None and handler.config_version > 1:
        config = {**config, KEY: handler.config_version}
    return upgraded(handler, config).config
