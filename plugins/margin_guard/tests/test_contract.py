"""Margin Guard passes what every handler passes."""

from axisor_executor.testing import HandlerContract
from axisor_margin_guard import MarginGuard


class TestMarginGuard(HandlerContract):
    handler = MarginGuard
    configs = (
        {"action": "close_position"},
        {"action": "close_position", "margin_threshold": 85},
        {"action": "reduce_position", "reduce_percentage": 50},
        {"action": "add_margin", "add_margin_amount": 10_000, "margin_threshold": 85},
        {"action": "add_margin", "add_margin_amount": 10_000, "margin_threshold": 85, "scope": "all"},
        {"action": "close_position", "margin_threshold": 85, "scope": "selected", "selected_positions": ["trade-1"]},
        {"action": "close_position", "margin_mode": "cross", "margin_threshold": 85},
        {"action": "reduce_position", "margin_mode": "cross", "reduce_percentage": 50},
    )
    mirrored = True

    def chooses_trades(self, config):
        return "scope" in config

    def acts_each_time(self, config):
        return config["action"] == "reduce_position"
