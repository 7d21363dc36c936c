"""Trailing Stop passes what every handler passes."""

from axisor_executor.testing import HandlerContract
from axisor_trailing_stop import TrailingStop


class TestByUsd(HandlerContract):
    handler = TrailingStop
    configs = ({"distance_usd": 1_000}, {"distance_usd": 1_000, "min_step_percent": 0, "scope": "all"})
    mirrored = True

    def chooses_trades(self, config):
        return "scope" in config


class TestByPercent(HandlerContract):
    """Not mirrored: a percent of the price is more USD above the entry than below it."""

    handler = TrailingStop
    configs = (
        {"distance_percent": 2, "distance_usd": 500},
        {"distance_percent": 2, "activation_pnl_percent": 20},
        {"distance_percent": 2, "replace_exchange_trailing": True},
    )
