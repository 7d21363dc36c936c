"""Auto Entry passes what every handler passes."""

from axisor_auto_entry import AutoEntry
from axisor_executor.testing import HandlerContract


class TestAutoEntry(HandlerContract):
    handler = AutoEntry
    configs = (
        {"side": "b", "quantity": 100, "stoploss": 46_500, "takeprofit": 61_000},
        {"side": "sell", "quantity": 100, "leverage": 5, "trigger_price": 50_000},
        {"side": "buy", "quantity": 100, "trigger_price": 47_000, "trigger_type": "limit"},
        {"side": "b", "quantity": 100, "trigger_price": 50_000, "max_open_trades": 1},
    )
    mirrored = True

    def acts_each_time(self, config):
        return "max_open_trades" not in config
