"""Fixtures for the tests of plugins; pytest finds them by itself where the executor is installed.

It is imported in every run of pytest on the machine, so it imports nothing before a test asks for a fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from axisor_executor.automation import AccountContext
    from axisor_executor.exchange.base import Trade
    from axisor_executor.testing import AutomationRun, FakeExchange


@pytest.fixture
def make_context() -> Callable[..., AccountContext[Any]]:
    """Make a context of plain values: `axisor_executor.testing.make_context`."""
    from axisor_executor import testing

    return testing.make_context


@pytest.fixture
def make_trade() -> Callable[..., Trade]:
    """Make a trade whose figures follow from one another: `axisor_executor.testing.make_trade`."""
    from axisor_executor import testing

    return testing.make_trade


@pytest.fixture
def fake_exchange() -> Callable[..., FakeExchange]:
    """Make an account in memory that decisions are carried out on: `axisor_executor.testing.FakeExchange`."""
    from axisor_executor import testing

    return testing.FakeExchange


@pytest.fixture
def run_automation() -> Callable[..., AutomationRun]:
    """Run jobs whole on the paper exchange: `axisor_executor.testing.run_automation`."""
    from axisor_executor import testing

    return testing.run_automation
