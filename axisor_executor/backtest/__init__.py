"""Backtests: automations of any installed type over the candles of the past, in a simulated exchange.

``candles`` reads history, ``walk`` makes some; ``scenario`` is what to try, read from a file. ``play`` leads the market
along the candles and has the ``automations`` asked, which decide and act by the executor's own code on what ``account``
knows; ``measure`` watches the money, ``result`` tells it and ``plot`` draws it.
"""
