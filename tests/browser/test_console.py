"""What a person does with the console, with a real browser and real workers behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from axisor_executor import switching
from axisor_executor.storage import tokens
from tests.browser.conftest import PATIENCE, Console
from tests.harness.world import Account, World

ENTRY = {"side": "b", "quantity": 100}
HTMLISH = "<img src=x onerror=document.title='owned'> '; DROP TABLE axisor_tokens; --"
LONG = "x" * 190
expect.set_options(timeout=PATIENCE)


def runs(page: Any, text: str) -> Any:
    """The executions in the list that have this text."""
    return page.locator("a.run").filter(has_text=text)


def card(page: Any, title: str) -> Any:
    """The part of the page under a heading."""
    return page.get_by_role("region", name=title)


@pytest.fixture
def entry(world: World, account: Account) -> str:
    """An automation of the account."""
    return world.automation(account, "auto_entry", ENTRY)


def test_a_job_arrives_is_explained_held_and_goes_on(
    console: Console, world: World, account: Account, entry: str, tmp_path: Path
) -> None:
    with world.worker(tmp_path / "worker.log"):
        page = console.open()
        expect(card(page, "Executions")).to_contain_text("No job has come yet")

        world.enqueue(world.job(entry))
        expect(runs(page, "completed")).to_have_count(1)
        runs(page, "completed").click()
        expect(page.locator(".story")).to_contain_text("Decided: auto entry executed")
        expect(page.locator(".story")).to_contain_text("exchange user")
        console.shot(page, "explained")

        row = card(page, "Accounts").get_by_role("row").filter(has_text="Main Account")
        expect(row).to_contain_text("100 %")
        row.get_by_role("button", name="Pause").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Pause account Main Account?")
        console.shot(page, "confirm")
        dialog.get_by_label("Reason").fill("<b>odd</b> fills")
        dialog.get_by_role("button", name="Pause").click()
        expect(page.get_by_role("status").filter(has_text="Account Main Account: paused.")).to_be_visible()
        expect(card(page, "Switches")).to_contain_text("<b>odd</b> fills")

        with world.changes() as changes:
            held = world.enqueue(world.job(entry))
            expect(runs(page, "waiting · held")).to_have_count(1)
        assert changes.sent == []

        row.get_by_role("button", name="Resume").click()
        dialog.get_by_role("button", name="Resume").click()
        expect(page.get_by_role("status").filter(has_text="goes on")).to_be_visible()
        expect(runs(page, "completed")).to_have_count(2)
        expect(card(page, "Switches")).to_contain_text("everything runs")
    assert world.execution(held).status == "completed"


def test_a_refused_confirmation_changes_nothing(console: Console, world: World, account: Account) -> None:
    page = console.open()
    page.get_by_role("button", name="Pause everything").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert world.storage.rows("SELECT * FROM axisor_switches") == []

    page.get_by_text("An exchange, account or automation by id").click()
    page.get_by_label("Its id").fill("no-such-one")
    card(page, "Switches").get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.get_by_role("alert")).to_have_text("Automation no-such-one not found.")


def test_by_keyboard_alone(console: Console, world: World, account: Account, entry: str) -> None:
    world.run(entry)
    page = console.open(log_in=False)
    text, _ = tokens.create(world.storage, "Keyboard", tokens.SCOPES)
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    page.locator("html.js").wait_for()

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the figures")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, runs(page, "completed"))
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "what has focus shows it"
    page.keyboard.press("Enter")
    expect(page.locator(".story")).to_contain_text("Result")
    expect(runs(page, "completed")).to_have_attribute("aria-expanded", "true")

    button = page.get_by_role("button", name="Pause everything")
    tab_to(page, button)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type("night")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Everything: paused.")).to_be_visible()
    assert world.storage.rows("SELECT scope, mode, reason FROM axisor_switches") == [("all", "paused", "night")]


def tab_to(page: Any, wanted: Any) -> None:
    """Press Tab until something has focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if wanted.evaluate("one => one === document.activeElement"):
            return
    raise AssertionError("Tab does not lead there")


def test_what_is_open_and_has_focus_stays_when_the_page_renews_itself(
    console: Console, world: World, account: Account, entry: str
) -> None:
    first = world.run(entry)["executionId"]
    page = console.open()
    page.get_by_text("The charts as a table").click()
    link = page.locator(f"[data-explain='{first}']")
    link.click()
    expect(page.locator(".story")).to_contain_text("Result")
    page.get_by_label("Account, by name or id").fill("half-typ")
    for _ in range(31):  # it falls off the end of the list
        world.run(entry)
    expect(page.locator("a.run")).to_have_count(31)
    expect(link).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".story")).to_contain_text("Result")
    expect(page.get_by_label("Account, by name or id")).to_be_focused()
    expect(page.get_by_label("Account, by name or id")).to_have_value("half-typ")
    expect(page.get_by_role("region", name="The last hour as a table")).to_be_visible()


class TestAway:
    """The time is the test's own, so none of it passes waiting."""

    @pytest.fixture
    def asked(self) -> list[str]:
        return []

    @pytest.fixture
    def page(self, console: Console, account: Account, asked: list[str]) -> Any:
        page = console.open()
        page.clock.install()
        page.reload()
        page.locator("html.js").wait_for()
        page.on("request", lambda request: asked.append(request.url) if "/console/live" in request.url else None)
        return page

    def test_a_server_that_is_away_is_told_and_asked_less_and_less(self, page: Any, asked: list[str]) -> None:
        page.context.set_offline(True)
        page.clock.run_for(3_100)
        expect(page.locator("#away")).to_contain_text("The server can't be reached. What you see is of")
        expect(page.get_by_role("status").filter(has_text="not up to date")).to_be_visible()
        for seconds in (6, 12, 24):
            expect(page.locator("#away")).to_contain_text(f"Trying again in {seconds} s")
            page.clock.run_for(seconds * 1000 + 100)
        expect(page.locator("#away")).to_contain_text("Trying again in 48 s")
        expect(page.locator("body")).to_have_class("stale")
        assert len(asked) == 4

        page.context.set_offline(False)
        page.clock.run_for(48_100)
        expect(page.locator("#away")).to_be_hidden()
        expect(page.locator("#link-text")).to_contain_text("Live, ")
        page.clock.run_for(1_000)
        expect(page.locator("body")).not_to_have_class("stale")

    def test_nobody_looks_nobody_asks(self, page: Any, asked: list[str]) -> None:
        look(page, is_hidden=True)
        page.clock.run_for(60_000)
        assert asked == []
        with page.expect_request("**/console/live*"):
            look(page, is_hidden=False)

    def test_on_hold_it_stays_as_it_is(self, page: Any, asked: list[str]) -> None:
        page.get_by_role("button", name="Hold").click()
        page.clock.run_for(60_000)
        assert asked == []
        expect(page.locator("#link-text")).to_contain_text("On hold since")
        with page.expect_request("**/console/live*"):
            page.get_by_role("button", name="Go on").click()


def look(page: Any, *, is_hidden: bool) -> None:
    """Have the page believe that it can be seen, or not."""
    page.evaluate(
        "is => { Object.defineProperty(document, 'hidden', { configurable: true, get: () => is });"
        "document.dispatchEvent(new Event('visibilitychange')); }",
        is_hidden,
    )


def test_a_revoked_token_ends_the_session_at_once(console: Console, world: World) -> None:
    page = console.open()
    (token,) = tokens.listed(world.storage)
    tokens.revoke(world.storage, token.id)
    expect(page.get_by_text("Your session has ended")).to_be_visible()
    expect(page.get_by_label("Token")).to_be_focused()


def test_log_out(console: Console) -> None:
    page = console.open()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.goto(f"{console.base}/")
    expect(page.get_by_label("Token")).to_be_visible()


def test_who_may_only_read_sees_no_switches(console: Console, world: World, account: Account, entry: str) -> None:
    world.run(entry)
    switching.pause(world.storage, "account", account.id)
    page = console.open("read")
    expect(page.locator(".top")).to_contain_text("read only")
    expect(card(page, "Switches")).to_contain_text("Main Account")
    runs(page, "completed").click()
    expect(page.locator(".story")).to_contain_text("Result")
    assert page.locator("[data-switch], #switch-form, dialog").count() == 0


def test_without_javascript_everything_can_be_read(console: Console, world: World, entry: str) -> None:
    world.run(entry)
    page = console.open(java_script_enabled=False)
    expect(page.locator("noscript .notice")).to_be_visible()
    assert page.get_by_role("button", name="Pause").count() == 0
    page.get_by_text("The charts as a table").click()
    expect(page.get_by_role("region", name="The last hour as a table").get_by_role("row")).to_have_count(2)
    runs(page, "completed").click()
    expect(page.locator(".story")).to_contain_text("Decided: auto entry executed")
    page.get_by_role("link", name="Back to the console").click()
    expect(card(page, "Executions")).to_be_visible()


@pytest.fixture
def crowd(world: World, account: Account, entry: str) -> None:
    """Executions of all sorts, and names that are nasty."""
    for name in (HTMLISH, LONG):
        other = world.account("user456", name)
        world.run(world.automation(other, "auto_entry", ENTRY), user_id="user456")
        world.run(world.automation(other, "auto_entry", {"side": name}), user_id="user456", action=name)
        switching.pause(world.storage, "account", other.id, reason=name)
    world.run(entry)
    world.run(world.automation(account, "auto_entry", {**ENTRY, "trigger_price": 1000}))
    world.enqueue(world.job(entry), HTMLISH)


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_it_fits_and_names_are_text(console: Console, scheme: str, width: int) -> None:
    page = console.open(viewport={"width": width, "height": 800}, color_scheme=scheme)
    for count, link in enumerate(page.locator("a.run").all()[:4], start=1):
        link.click()
        expect(page.locator(".story")).to_have_count(count)  # what opens moves what is below it
    page.get_by_text("The charts as a table").click()
    console.shot(page, f"{scheme}-{width}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(card(page, "Accounts").get_by_role("link", name=HTMLISH)).to_be_visible()
    assert page.title() == "axisor executor"
    assert page.locator("main img").count() == 0
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    is_light = int(back.removeprefix("rgb(").split(",")[0]) > 128
    assert is_light == (scheme == "light")


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(console: Console, scheme: str) -> None:
    """WCAG AA: 4.5 to 1 between each text and what is behind it."""
    page = console.open(color_scheme=scheme)
    page.locator("a.run").first.click()
    page.locator(".story").wait_for()
    assert page.evaluate((Path(__file__).parent / "contrast.js").read_text()) == []
