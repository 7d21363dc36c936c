"""Carry out one action: commit ``sending``, sign with exactly that timestamp, send once, commit the outcome."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial

from axisor_executor import arithmetic
from axisor_executor.automation import (
    Action,
    AddMargin,
    CancelOrder,
    CashIn,
    CloseCrossPosition,
    ClosePosition,
    OpenPosition,
    ReduceCrossPosition,
    SetStopLoss,
    SetTakeProfit,
)
from axisor_executor.automation.actions import CrossAction
from axisor_executor.errors import (
    AxisorError,
    CredentialsError,
    Held,
    NotFound,
    OutcomeUnknown,
    Refused,
    Rejected,
    Unavailable,
)
from axisor_executor.exchange.base import Answer, CrossOrder, CrossPosition, ExchangeClient, NewTrade, Trade
from axisor_executor.observe.logs import say
from axisor_executor.reconcile import baseline_of
from axisor_executor.run import points
from axisor_executor.run.acting import Acting
from axisor_executor.run.cross import call_cross, position_for
from axisor_executor.run.reads import shown
from axisor_executor.run.rehearse import rehearse
from axisor_executor.storage import actions, sending
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.connection import BROKEN, Storage
from axisor_executor.storage.executions import Execution
from axisor_executor.storage.plans import Plan
from axisor_executor.storage.sending import Sending

OLDEST_READ_SECONDS = 1.5
"""How old what was read may be to serve as the baseline of a request."""

LATEST_SECONDS = 2.0
"""How long after its commit a request may still leave; a pause waits for the signature's window, far longer."""

_NOT_LET_IN = (401, 403)
_BAD_REQUEST = 400

ALREADY_CLOSED = {"code": "already_closed", "message": "the trade was closed already"}


class _ProtectionRefused(Exception):
    """A reopen with a stop loss or take profit was refused: definitely not carried out, and planned again."""


class Sender:
    """The only place in the executor from which a mutating request leaves."""

    def __init__(
        self,
        storage: Storage,
        *,
        max_skew_seconds: float,
        live: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.storage = storage
        self.max_skew_seconds = max_skew_seconds
        self.live = live
        self.clock = clock

    def send(
        self, run: Execution, planned: LedgerAction, decided: Action, acting: Acting, plan: Plan | None = None
    ) -> bool:
        """Carry a planned action out; what became of it is committed before this returns or raises.

        ``decided`` is what its plan has for it: what is planned of a reopen is as it was last tried.

        One of a dry run goes the same way up to its request, which is recorded instead of sent. A new ``plan`` hears
        what is confirmed, and sees to the commit: of what completes it, that is the commit of the end.

        Returns:
            True: it was carried out, or rehearsed. False: it was refused (status ``rejected``), or someone else had
            closed the trade and nothing was left to do (``superseded``).

        Raises:
            Refused, NotFound, Rejected, CredentialsError: what is read forbids it, or can't be read with these keys;
                nothing was sent (status ``planned`` still). Or the exchange does not let these keys take a step that is
                owed since one before it: no answer to the step itself (``planned`` again).
            Throttled, CircuitOpen: held back, nothing was sent (status ``planned`` still).
            Unavailable: definitely not processed (status ``planned`` again).
            OutcomeUnknown: nobody knows (status ``unknown``).
            Held, LeaseLost: nothing was sent.
        """
        if planned.dry_run:
            return self._carry_out(run, planned, decided, acting, plan)
        self._require_live(planned)
        acting.gate.enter(mutating=True)  # before the timestamp is chosen: what is signed never waits
        try:
            return self._carry_out(run, planned, decided, acting, plan)
        except _ProtectionRefused:
            pass
        finally:
            acting.gate.withdraw(mutating=True)  # a probe of which nothing was sent is left to others
        return self.send(run, planned, _less_protected(decided), acting, plan)

    def _carry_out(
        self, run: Execution, planned: LedgerAction, decided: Action, acting: Acting, plan: Plan | None
    ) -> bool:
        acting.reads.refresh(OLDEST_READ_SECONDS)
        target = self._target(planned.action, acting)
        if plan is not None and (planned.dry_run or (target is not None and _is_over(target))):
            plan.keep()  # there is no request to commit it with
        if target is not None and _is_over(target):
            actions.deny(self.storage, run, planned, ALREADY_CLOSED, status="superseded", answer=shown(target))
            return False
        ready = planned
        if isinstance(decided, OpenPosition) and decided.replaces is not None:
            ready = dataclasses.replace(planned, action=prepare_reopen(decided, acting.reads.price_now()))
        self._check_clock(acting.client)
        about = Sending(
            timestamp_ms=int(self.clock() * 1000),
            baseline=baseline_of(target),
            exchange_user_id=acting.owner(),
            key_fingerprint=acting.fingerprint,
        )
        if planned.dry_run:
            signed_ms = about.timestamp_ms
            rehearsed = partial(call, action=ready.action, client_id=ready.client_id, timestamp_ms=signed_ms)
            request = rehearse(acting.client, rehearsed, signed_ms)
            sending.rehearse(self.storage, run, ready, about, request, account=acting.account)
            say.info(f"Dry run: {ready.action.kind} was not sent for account {acting.account.name}", mark="🧪")
            return True
        sent = sending.begin(self.storage, run, ready, about, account=acting.account, plan=plan)
        points.reached("sending")
        self._check_punctual(sent, about.timestamp_ms)
        return self._transmit(sent, acting, plan)

    def _require_live(self, planned: LedgerAction) -> None:
        """Let nothing leave a process in dry run, not even what is owed since it was live."""
        if not self.live:
            raise Held(
                f"{planned.action.kind} is held back: this process runs with AXISOR_MODE=dry_run",
                code="dry_run",
                account_id=planned.account_id,
            )

    def _transmit(self, ready: LedgerAction, acting: Acting, plan: Plan | None) -> bool:
        assert ready.timestamp_ms is not None
        announce(ready.action, acting)
        acting.reads.forget()  # whatever comes of it, what was read before is not how it is after
        try:
            answer = call(acting.client, ready.action, ready.client_id, ready.timestamp_ms)
            points.reached("answered")
        except (Unavailable, CredentialsError) as error:
            actions.unsend(self.storage, ready, error.as_dict())
            raise
        except OutcomeUnknown as error:
            actions.settle(self.storage, ready, "unknown", error=error.as_dict())
            raise
        except Rejected as error:
            if ready.step_index > 0 and error.status in _NOT_LET_IN:
                actions.unsend(self.storage, ready, error.as_dict())
                raise
            if _is_protected_reopen(ready.action) and error.status == _BAD_REQUEST:
                # The exchange judges its levels at a price that was not known here: better none than no position.
                actions.unsend(self.storage, ready, error.as_dict())
                raise _ProtectionRefused from None
            closed = _closed_meanwhile(ready.action, acting)
            if closed is not None:
                actions.settle(self.storage, ready, "superseded", answer=shown(closed), error=ALREADY_CLOSED)
                return False
            actions.settle(self.storage, ready, "rejected", error=error.as_dict())
            return False
        except Exception as error:  # noqa: BLE001  whatever a client trips over, the request may have left
            say.crash(f"The client failed on {ready.action.kind} for account {acting.account.name}")
            unknown = OutcomeUnknown(f"the client failed: {type(error).__name__}", account_id=acting.account.id)
            actions.settle(self.storage, ready, "unknown", error=unknown.as_dict())
            raise unknown from None
        trade = answer.value
        opened = trade.id if isinstance(ready.action, OpenPosition) else None
        if plan is None:
            actions.settle(self.storage, ready, "confirmed", answer=shown(trade), new_trade_id=opened)
        else:
            plan.confirmed(ready, shown(trade), opened)
        points.reached("settled")
        return True

    def _target(self, action: Action, acting: Acting) -> Trade | CrossPosition | None:
        """Return the trade that is to be changed, as it is before; for a close, also one that is closed already.

        Raises:
            NotFound: this account has no such trade.
            StaleData: the cross position is not the one that was decided on any more; or the history can't be searched.
            Unavailable: it can't be read.
            Held: nobody can say yet whether it is over.
        """
        if isinstance(action, CrossAction):
            return position_for(action, acting.reads)
        if action.target is None:
            return None
        # Running anew after the orders: one of them may have been filled in between.
        for read in (acting.reads.running, acting.reads.open_orders, acting.reads.running):
            for trade in read():
                if trade.id == action.target:
                    return trade
        if isinstance(action, ClosePosition):
            closed = _closed_for_good(action, acting)
            if closed is not None:
                return closed
        raise NotFound(f"Trade {action.target} is not running on account {acting.account.name}", code="trade_not_found")

    def _check_punctual(self, ready: LedgerAction, timestamp_ms: int) -> None:
        """Send nothing when this thread was held up after the commit: the world has moved on since."""
        late = self.clock() - timestamp_ms / 1000
        if late > LATEST_SECONDS:
            error = Unavailable(f"held up for {late:.1f} s before sending; nothing was sent", code="held_up")
            actions.unsend(self.storage, ready, error.as_dict())
            raise error

    def _check_clock(self, client: ExchangeClient) -> None:
        skew = getattr(client, "last_skew_seconds", 0.0)
        if skew is None or abs(skew) > self.max_skew_seconds:
            # A clock that was never compared proves nothing; one answer that is off may be another account's.
            client.account()
            skew = getattr(client, "last_skew_seconds", None)
        if skew is not None and abs(skew) > self.max_skew_seconds:
            raise Unavailable(
                f"this machine's clock is off by {skew:+.1f} s against the exchange's "
                f"(at most {self.max_skew_seconds:g} s are allowed); nothing was sent",
                code="clock_skew",
            )


def _is_over(target: Trade | CrossPosition) -> bool:
    return target.side is None if isinstance(target, CrossPosition) else target.state == "closed"


def _closed_meanwhile(action: Action, acting: Acting) -> Trade | CrossPosition | None:
    """Return what a close was for, if it is closed without us; ``None`` where that can't be seen."""
    try:
        if isinstance(action, ClosePosition):
            return _closed_for_good(action, acting)
        position = acting.reads.cross_position() if isinstance(action, CloseCrossPosition) else None
    except AxisorError:
        return None
    except BROKEN:
        raise
    except Exception as error:  # noqa: BLE001  whatever a client trips over, the exchange has said no
        say.crash(f"What {action.kind} was for can't be read: {type(error).__name__}")
        return None
    return position if position is not None and _is_over(position) else None


def _closed_for_good(action: ClosePosition, acting: Acting) -> Trade | None:
    """Return a close's trade if it is closed; ``None`` also where it was reduced, and goes on as another."""
    found = acting.reads.finished(action.trade_id)
    if found is None or not _is_over(found) or acting.reads.current_id(found.id) != found.id:
        return None
    return found


def prepare_reopen(action: OpenPosition, price: Decimal) -> OpenPosition:
    """Return a reduce's reopen as it can be sent at ``price`` (USD).

    Protection that the exchange would refuse there is left out: a reopen without its stop loss is better than none.

    Raises:
        Refused: the market has moved further than ``max_slippage_percent`` from ``reference_price``.
    """
    if action.max_slippage_percent is not None and action.reference_price is not None:
        moved = abs(price - action.reference_price) * 100 / action.reference_price
        if moved > action.max_slippage_percent:
            raise Refused(
                f"the market moved {moved:.2f} % from {action.reference_price} to {price}, more than "
                f"max_reopen_slippage_percent {action.max_slippage_percent}",
                code="reopen_slippage",
            )
    stoploss, takeprofit = action.stoploss, action.takeprofit
    if takeprofit is not None and arithmetic.takeprofit_problem(
        action.side, takeprofit, market=price, entry_price=price
    ):
        takeprofit = None
    if stoploss is not None and arithmetic.stoploss_problem(
        action.side,
        stoploss,
        market=price,
        liquidation=arithmetic.liquidation(action.side, action.quantity, price, action.leverage),
        takeprofit=takeprofit,
    ):
        stoploss = None
    return dataclasses.replace(action, stoploss=stoploss, takeprofit=takeprofit)


def _is_protected_reopen(action: Action) -> bool:
    if not isinstance(action, OpenPosition) or action.replaces is None:
        return False
    return action.stoploss is not None or action.takeprofit is not None


def _less_protected(action: Action) -> OpenPosition:
    """Return it without its take profit or, if it has none, without its stop loss: the exchange does not say which."""
    assert isinstance(action, OpenPosition)
    return dataclasses.replace(action, takeprofit=None, stoploss=action.stoploss if action.takeprofit else None)


def call(
    client: ExchangeClient, action: Action, client_id: str | None, timestamp_ms: int
) -> Answer[Trade] | Answer[CrossOrder]:
    """Make the one client call that carries out ``action``, signed with ``timestamp_ms``."""
    match action:
        case CrossAction():
            return call_cross(client, action, client_id, timestamp_ms)
        case ClosePosition(trade_id=trade_id):
            return client.close_trade(trade_id, timestamp_ms=timestamp_ms)
        case AddMargin(trade_id=trade_id, amount=amount):
            return client.add_margin(trade_id, amount, timestamp_ms=timestamp_ms)
        case CashIn(trade_id=trade_id, amount=amount):
            return client.cash_in(trade_id, amount, timestamp_ms=timestamp_ms)
        case SetTakeProfit(trade_id=trade_id, value=value):
            return client.set_takeprofit(trade_id, value, timestamp_ms=timestamp_ms)
        case SetStopLoss(trade_id=trade_id, value=value):
            return client.set_stoploss(trade_id, value, timestamp_ms=timestamp_ms)
        case CancelOrder(trade_id=trade_id):
            return client.cancel_trade(trade_id, timestamp_ms=timestamp_ms)
        case OpenPosition():
            order = NewTrade(
                type=action.type,
                side=action.side,
                quantity=action.quantity,
                leverage=action.leverage,
                price=action.price,
                stoploss=action.stoploss,
                takeprofit=action.takeprofit,
                client_id=client_id,
            )
            return client.open_trade(order, timestamp_ms=timestamp_ms)
    raise TypeError(f"no client call carries out {action!r}")


def _holding(action: CrossAction) -> str:
    return f"{'LONG' if action.side == 'buy' else 'SHORT'} {action.held} USD"


def announce(action: Action, acting: Acting) -> None:
    """Say in the log what is about to be sent."""
    who = f"for user {acting.account.user_id} on account {acting.account.name}"
    name = acting.account.name
    match action:
        case ClosePosition(trade_id=trade_id):
            say.info(f"Closing position {trade_id} {who}", mark="🛑")
        case CloseCrossPosition():
            say.info(f"Closing cross position of {_holding(action)} {who}", mark="🛑")
        case ReduceCrossPosition(quantity=quantity):
            say.info(f"Reducing cross position of {_holding(action)} by {quantity} USD {who}", mark="✂️")
        case OpenPosition():
            side = "LONG" if action.side == "buy" else "SHORT"
            say.info(
                f"Creating {side} position: {action.quantity} contracts at {action.leverage.normalize():f}x leverage "
                f"for account {name}",
                mark="📈",
            )
        case AddMargin(trade_id=trade_id, amount=amount):
            say.info(f"Adding {amount} sats margin to position {trade_id} {who}", mark="🛡️")
        case CashIn(trade_id=trade_id, amount=amount):
            say.info(f"Cashing in {amount} sats from position {trade_id} {who}", mark="💰")
        case SetTakeProfit(trade_id=trade_id, value=value):
            say.info(f"Setting take profit of {trade_id} to {value} {who}", mark="🎚️")
        case SetStopLoss(trade_id=trade_id, value=value):
            say.info(f"Setting stop loss of {trade_id} to {value} {who}", mark="🎚️")
        case CancelOrder(trade_id=trade_id):
            say.info(f"Canceling order {trade_id} {who}", mark="🛑")
