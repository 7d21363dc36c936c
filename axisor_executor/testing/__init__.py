"""What the tests of a plugin need, from plain values to a whole run on the paper exchange.

::

    class TestTrailingStop(HandlerContract):
        handler = TrailingStop
        configs = [{"action": "trail", "distance_percent": 2}]

Importing it is cheap, and nothing is loaded before it is used: pytest imports the fixtures in every run.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from axisor_executor.testing.cases import Case as Case
    from axisor_executor.testing.contexts import make_context as make_context
    from axisor_executor.testing.contract import HandlerContract as HandlerContract
    from axisor_executor.testing.defaults import ACCOUNT as ACCOUNT
    from axisor_executor.testing.defaults import BALANCE as BALANCE
    from axisor_executor.testing.defaults import LAST_PRICE as LAST_PRICE
    from axisor_executor.testing.defaults import NOW as NOW
    from axisor_executor.testing.exchange import FakeExchange as FakeExchange
    from axisor_executor.testing.reads import PlainReads as PlainReads
    from axisor_executor.testing.running import AutomationRun as AutomationRun
    from axisor_executor.testing.running import run_automation as run_automation
    from axisor_executor.testing.trades import make_cross_position as make_cross_position
    from axisor_executor.testing.trades import make_trade as make_trade

_HOME = {
    "ACCOUNT": "defaults",
    "BALANCE": "defaults",
    "LAST_PRICE": "defaults",
    "NOW": "defaults",
    "PlainReads": "reads",
    "make_context": "contexts",
    "make_cross_position": "trades",
    "make_trade": "trades",
    "FakeExchange": "exchange",
    "Case": "cases",
    "HandlerContract": "contract",
    "AutomationRun": "running",
    "run_automation": "running",
}

__all__ = [
    # values
    "ACCOUNT",
    "BALANCE",
    "LAST_PRICE",
    "NOW",
    "PlainReads",
    "make_context",
    "make_cross_position",
    "make_trade",
    # an account that decisions are carried out on
    "FakeExchange",
    # what every handler passes
    "Case",
    "HandlerContract",
    # jobs run whole
    "AutomationRun",
    "run_automation",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return list(__all__)
