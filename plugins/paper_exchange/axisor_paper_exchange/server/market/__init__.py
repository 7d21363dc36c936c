"""The market's life: where prices come from, when, and what they have been."""

from axisor_paper_exchange.server.market.candles import RANGES, Candle, Candles
from axisor_paper_exchange.server.market.csv import CsvError, Row, parse_csv
from axisor_paper_exchange.server.market.feed import Due, Feed
from axisor_paper_exchange.server.market.sources import Fixed, Replay, Source, Walk
from axisor_paper_exchange.server.market.time import MarketTime

__all__ = [
    "RANGES",
    "Candle",
    "Candles",
    "CsvError",
    "Due",
    "Feed",
    "Fixed",
    "MarketTime",
    "Replay",
    "Row",
    "Source",
    "Walk",
    "parse_csv",
]
