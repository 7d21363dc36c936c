"""The console in a real browser: run by ``make test-browser``, which names the browser in AXISOR_BROWSER.

Without that, nothing here is collected: whether there is a browser is the business of scripts/test-browser.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from axisor_executor.service import create_app
from axisor_executor.storage import tokens
from axisor_executor.storage.tokens import SCOPES, Scope
from tests.harness.world import Account, World
from tests.integration.conftest import migrated_sqlite  # noqa: F401
from tests.service.conftest import served

BROWSER = os.environ.get("AXISOR_BROWSER")
collect_ignore_glob = [] if BROWSER else ["test_*.py"]
PATIENCE = 30_000
"""Milliseconds until something that must come counts as missing: generous, because it is no measure of speed."""


@pytest.fixture
def database_url(migrated_sqlite: Path, tmp_path: Path) -> str:  # noqa: F811
    """One kind of database is enough for what a browser shows."""
    return f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'axisor.db')}"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless browser for this process' tests."""
    from playwright.sync_api import sync_playwright

    # As root, Chromium's own sandbox can't be had; /dev/shm is small in containers.
    arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        program = None if BROWSER == "playwright" else BROWSER
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@dataclass
class Console:
    """The console of a test's world, and a browser to open it in."""

    world: World
    base: str
    browser: Any
    complaints: list[str] = field(default_factory=list)

    def open(self, *scopes: Scope, user: str | None = None, log_in: bool = True, **options: Any) -> Any:
        """Return a page of a new visitor, logged in with these scopes (all if none is named)."""
        context = self.browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", lambda told: self.complaints.append(told.text) if "Content Security" in told.text else None)
        page.goto(f"{self.base}/")
        if log_in:
            text, _ = tokens.create(self.world.storage, "Watch", scopes or SCOPES, user_id=user)
            page.get_by_label("Token").fill(text)
            page.get_by_role("button", name="Log in").click()
            page.get_by_role("heading", name="Executions").wait_for()
            if options.get("java_script_enabled", True):
                page.locator("html.js").wait_for()
        return page

    def shot(self, page: Any, name: str) -> None:
        """Keep a picture of the page, if somebody wants to look (AXISOR_SCREENSHOTS names the folder)."""
        if folder := os.environ.get("AXISOR_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.fixture
def console(world: World, chromium: Any) -> Iterator[Console]:
    """The console, served; no page may have had an error or tried what its policy forbids."""
    with served(create_app(world.parts)) as base:
        made = Console(world, base, chromium)
        yield made
        for context in chromium.contexts:
            context.close()
    assert made.complaints == []


@pytest.fixture
def account(world: World) -> Account:
    """A user's account on the exchange."""
    return world.account("user123", "Main Account")
