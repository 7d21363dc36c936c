"""LN Markets is one exchange, however its row in the database spells it."""

from __future__ import annotations

import dataclasses

from axisor_executor.storage import accounts
from tests.harness.world import World


def test_all_spellings_share_one_budget_one_breaker_and_one_ticker(world: World) -> None:
    """A budget each would be a multiple of what the exchange lets one key and one address ask."""
    found = accounts.account(world.storage, world.account().id)
    assert found is not None
    spelt = [dataclasses.replace(found, exchange_slug=slug) for slug in ("lnmarkets", "ln_markets", "ln-markets")]
    gates = {world.parts.opener.open(one, "automation", "default").gate.exchange for one in spelt}
    assert len(gates) == 1
    assert len(world.parts.opener.tickers) == 1
