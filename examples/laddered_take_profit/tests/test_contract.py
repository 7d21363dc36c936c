"""Laddered Take Profit passes what every handler passes; a rung is taken once without a word of it in the contract."""

from axisor_executor.testing import HandlerContract
from axisor_laddered_take_profit import LadderedTakeProfit


class TestLadderedTakeProfit(HandlerContract):
    handler = LadderedTakeProfit
    configs = (
        {"rungs": [{"pnl_percent": 20, "sell_percent": 25}, {"pnl_percent": 50, "sell_percent": 50}]},
        {"rungs": [{"pnl_percent": 10, "sell_percent": 100}], "max_reopen_slippage_percent": 0.5},
    )
