"""DCA Entry passes what every handler passes."""

from axisor_dca_entry import DcaEntry
from axisor_executor.testing import HandlerContract


class TestDcaEntry(HandlerContract):
    handler = DcaEntry
    configs = (
        {"quantity": 100, "leverage": 10, "weekly_budget_usd": 300},
        {"quantity": 100, "leverage": 10, "weekly_budget_usd": 199},
        {"quantity": 100, "leverage": 10, "weekly_budget_sats": 50_000, "min_hours_between": 20},
        {"quantity": 100, "leverage": 10, "weekly_budget_sats": 10**6, "drop_percent": 3, "below_price": 50_000},
        {"quantity": 100, "leverage": 10, "weekly_budget_usd": 10**6, "max_open_trades": 1},
    )

    def acts_each_time(self, config):
        return config["weekly_budget_usd"] == 300 if "weekly_budget_usd" in config else False
