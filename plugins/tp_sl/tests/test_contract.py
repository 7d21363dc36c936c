"""TP/SL passes what every handler passes."""

from axisor_executor.testing import HandlerContract
from axisor_tp_sl import TpSl


class TestTpSl(HandlerContract):
    handler = TpSl
    configs = (
        {"action": "update_tp", "new_takeprofit": 65_000},
        {"action": "update_sl", "new_stoploss": 48_000.5},
        {"action": "close_tp", "trigger_price": 52_000},
        {"action": "close_sl", "trigger_price": 48_000},
        {"action": "close_sl", "trigger_pnl_percentage": -25},
    )
    mirrored = True
