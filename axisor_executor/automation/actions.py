"""The mutating exchange commands a handler may ask for. Plain values; only the core carries them out.

Units: amounts are whole sats, quantities whole USD, prices USD per BTC (Decimal, what is sent in steps of 0.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from axisor_executor.arithmetic import MAX_PRICE
from axisor_executor.exchange.base import PRICE_STEP, OrderType, Side


def _check_price(name: str, value: Decimal | None, step: Decimal | None = PRICE_STEP) -> None:
    if value is None:
        return
    if not isinstance(value, Decimal) or not value.is_finite() or not 0 < value <= MAX_PRICE or (step and value % step):
        steps = f" in steps of {step}" if step else ""
        raise ValueError(f"{name} must be a Decimal above 0 and up to {MAX_PRICE}{steps}, got {value!r}")


def _check_whole(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError(f"{name} must be a whole number above 0, got {value!r}")


def _check_id(value: str, name: str = "trade_id") -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} must be a non-empty text, got {value!r}")


def _check_side(value: str) -> None:
    if value not in ("buy", "sell"):
        raise ValueError(f"side must be 'buy' or 'sell', got {value!r}")


@dataclass(frozen=True, slots=True)
class Action:
    """Base of all actions. ``kind`` is the imperative name; ``risk_reducing`` tells reduce-only what may pass.

    What ``moves_money`` waits, as what adds risk does, while an earlier action on the same target may still take
    effect. What ``has_client_id`` is recognised by the id of ours that the exchange keeps with it.
    """

    kind: ClassVar[str] = ""
    risk_reducing: ClassVar[bool] = True
    moves_money: ClassVar[bool] = False
    has_client_id: ClassVar[bool] = False

    @property
    def target(self) -> str | None:
        """The id of the trade or cross position that is changed, ``None`` for a new one."""
        return getattr(self, "trade_id", None)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form kept in the ledger: ``{"kind", ...fields}``, prices as text."""
        shown: dict[str, Any] = {"kind": type(self).__name__}
        names: tuple[str, ...] = self.__match_args__  # its fields
        for name in names:
            value = getattr(self, name)
            shown[name] = str(value) if isinstance(value, Decimal) else value
        return shown


@dataclass(frozen=True, slots=True)
class ClosePosition(Action):
    """Close a running trade at the market."""

    kind: ClassVar[str] = "close_position"
    trade_id: str

    def __post_init__(self) -> None:
        _check_id(self.trade_id)


@dataclass(frozen=True, slots=True)
class OpenPosition(Action):
    """Open a new isolated trade, at the market or as a limit order at ``price``.

    ``replaces`` names the trade of which this one is the remainder (a reduce's reopen): the lineage follows it,
    reduce-only lets it pass, and it is sent only while the market is within ``max_slippage_percent`` of
    ``reference_price`` (percent, both directions); a stop loss or take profit that the market has passed by then
    is left out, and said so. ``reference_price`` itself is never sent, and may be off the exchange's steps.
    """

    kind: ClassVar[str] = "open_position"
    risk_reducing: ClassVar[bool] = False
    moves_money: ClassVar[bool] = True
    has_client_id: ClassVar[bool] = True
    side: Side
    quantity: int
    leverage: Decimal
    type: OrderType = "market"
    price: Decimal | None = None
    stoploss: Decimal | None = None
    takeprofit: Decimal | None = None
    replaces: str | None = None
    reference_price: Decimal | None = None
    max_slippage_percent: Decimal | None = None

    def __post_init__(self) -> None:
        _check_side(self.side)
        if self.type not in ("market", "limit"):
            raise ValueError(f"type must be 'market' or 'limit', got {self.type!r}")
        if (self.type == "limit") != (self.price is not None):
            raise ValueError("a limit order needs a price, a market order takes none")
        _check_whole("quantity", self.quantity)
        for name in ("price", "stoploss", "takeprofit"):
            _check_price(name, getattr(self, name))
        _check_price("reference_price", self.reference_price, step=None)
        if not isinstance(self.leverage, Decimal) or not 1 <= self.leverage <= 100:
            raise ValueError(f"leverage must be a Decimal from 1 to 100, got {self.leverage!r}")
        if self.max_slippage_percent is not None and self.reference_price is None:
            raise ValueError("max_slippage_percent needs a reference_price")


@dataclass(frozen=True, slots=True)
class AddMargin(Action):
    """Add ``amount`` sats from the balance to a running trade's margin."""

    kind: ClassVar[str] = "add_margin"
    moves_money: ClassVar[bool] = True
    trade_id: str
    amount: int

    def __post_init__(self) -> None:
        _check_id(self.trade_id)
        _check_whole("amount", self.amount)


@dataclass(frozen=True, slots=True)
class CashIn(Action):
    """Take ``amount`` sats out of a running trade (profit first, then margin): this raises its risk."""

    kind: ClassVar[str] = "cash_in"
    risk_reducing: ClassVar[bool] = False
    moves_money: ClassVar[bool] = True
    trade_id: str
    amount: int

    def __post_init__(self) -> None:
        _check_id(self.trade_id)
        _check_whole("amount", self.amount)


@dataclass(frozen=True, slots=True)
class SetTakeProfit(Action):
    """Set a trade's take profit to ``value``."""

    kind: ClassVar[str] = "set_takeprofit"
    trade_id: str
    value: Decimal

    def __post_init__(self) -> None:
        _check_id(self.trade_id)
        _check_price("value", self.value)


@dataclass(frozen=True, slots=True)
class SetStopLoss(Action):
    """Set a trade's (fixed) stop loss to ``value``."""

    kind: ClassVar[str] = "set_stoploss"
    trade_id: str
    value: Decimal

    def __post_init__(self) -> None:
        _check_id(self.trade_id)
        _check_price("value", self.value)


@dataclass(frozen=True, slots=True)
class CancelOrder(Action):
    """Cancel an open (not yet filled) limit order."""

    kind: ClassVar[str] = "cancel_order"
    trade_id: str

    def __post_init__(self) -> None:
        _check_id(self.trade_id)


@dataclass(frozen=True, slots=True)
class CrossAction(Action):
    """Base of what is done to the account's cross position.

    Attributes:
        position_id: the cross position's id.
        side: ``buy`` for a long, ``sell`` for a short: the position's side when it was decided on.
        held: how many USD it held then.
    """

    position_id: str
    side: Side
    held: int

    def __post_init__(self) -> None:
        _check_id(self.position_id, "position_id")
        _check_side(self.side)
        _check_whole("held", self.held)

    @property
    def target(self) -> str:
        """The cross position's id."""
        return self.position_id


@dataclass(frozen=True, slots=True)
class CloseCrossPosition(CrossAction):
    """Close the cross position at the market, whatever it holds by then, if it is still on ``side``."""

    kind: ClassVar[str] = "close_cross_position"


@dataclass(frozen=True, slots=True)
class ReduceCrossPosition(CrossAction):
    """Reduce the cross position by ``quantity`` USD: a market order of the opposite side.

    It is sent only while the position is on ``side`` and holds at least ``held``: a larger order than what is held
    would turn the position, and the exchange has no flag against that. Nor does it take an order of more than
    500 000 USD: a larger reduce is several of them, in one group.
    """

    kind: ClassVar[str] = "reduce_cross_position"
    moves_money: ClassVar[bool] = True  # two orders add up: behind one that is not known, this one could turn it
    has_client_id: ClassVar[bool] = True
    quantity: int

    def __post_init__(self) -> None:
        CrossAction.__post_init__(self)
        _check_whole("quantity", self.quantity)
        if self.quantity > self.held:
            raise ValueError(f"quantity must be at most what is held ({self.held}), got {self.quantity}")


ACTIONS: Mapping[str, type[Action]] = {
    cls.__name__: cls
    for cls in (
        ClosePosition,
        OpenPosition,
        AddMargin,
        CashIn,
        SetTakeProfit,
        SetStopLoss,
        CancelOrder,
        CloseCrossPosition,
        ReduceCrossPosition,
    )
}
DECIMAL_FIELDS = frozenset(
    {"leverage", "price", "stoploss", "takeprofit", "reference_price", "max_slippage_percent", "value"}
)


def action_from_dict(stored: Mapping[str, Any]) -> Action:
    """Rebuild an action from its ledger form.

    Raises:
        ValueError: the kind is unknown or a value is out of bounds (the row was tampered with).
    """
    values = dict(stored)
    cls = ACTIONS.get(values.pop("kind", ""))
    if cls is None:
        raise ValueError(f"unknown action kind {stored.get('kind')!r}")
    for name in DECIMAL_FIELDS & values.keys():
        if values[name] is not None:
            values[name] = Decimal(values[name])
    return cls(**values)
