"""A process of many threads that all want the price: started by test_prices_burst.py, which reads what it says.

Arguments: the URLs of Redis and the exchange, the least number of reads. It says each price when it first sees it,
and, told to stop on its standard input, what it has read, as JSON. Instants are by the machine's monotonic clock, the
same for all its processes.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from axisor_executor import shared
from axisor_executor.exchange import ExchangeOptions, LNMarketsClient, SharedTicker
from axisor_executor.exchange.own_thread import OwnThread
from axisor_executor.exchange.price_board import PriceBoard

THREADS = 8
MAX_AGE = 5.0


@dataclass
class Report:
    """What one thread read; ``last_begun`` is when its last read of each price began."""

    reads: int = 0
    oldest: float = 0.0
    longest: float = 0.0
    last_begun: dict[str, float] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


def main(redis_url: str, exchange_url: str, least: str) -> None:
    # How Redis' absence is borne is another test's; a machine that is slow for a moment is no absence.
    shared.TIMEOUT_SECONDS = 30.0
    options = ExchangeOptions("lnmarkets", exchange_url)
    board = PriceBoard(shared.Shared(redis_url, "burst"), options.slug, options.base_url)
    ticker = SharedTicker(LNMarketsClient(options, None).ticker, board=board, in_background=OwnThread("axisor-ticker"))
    stop = threading.Event()
    with ThreadPoolExecutor(THREADS) as pool:
        tasks = [pool.submit(read, ticker, stop, int(least) // THREADS) for _ in range(THREADS)]
        sys.stdin.readline()
        stop.set()
        reports = [task.result() for task in tasks]
    print(
        json.dumps(
            {
                "reads": sum(report.reads for report in reports),
                "oldest": max(report.oldest for report in reports),
                "longest": max(report.longest for report in reports),
                "lastBegun": {
                    price: max(report.last_begun.get(price, 0.0) for report in reports)
                    for price in {price for report in reports for price in report.last_begun}
                },
                "errors": [error for report in reports for error in report.errors],
            }
        ),
        flush=True,
    )


said: set[str] = set()
saying = threading.Lock()


def say(price: str) -> None:
    with saying:
        if price not in said:
            said.add(price)
            print(price, flush=True)


def read(ticker: SharedTicker, stop: threading.Event, least: int) -> Report:
    report = Report()
    while not stop.wait(0.002) or report.reads < least:
        begun = time.monotonic()
        try:
            price, age = ticker.fresh_price(MAX_AGE)
        except Exception as error:  # noqa: BLE001 - the test wants to see it, whatever it is
            report.errors.append(repr(error))
            continue
        report.reads += 1
        report.oldest = max(report.oldest, age)
        report.longest = max(report.longest, time.monotonic() - begun)
        report.last_begun[str(price)] = begun
        if str(price) not in said:
            say(str(price))
    return report


if __name__ == "__main__":
    main(*sys.argv[1:])
