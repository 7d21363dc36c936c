"""The first users of a paper stack: written once however often, on an exchange that may have lost its state."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from axisor_executor import accounts, automations
from axisor_executor.embedded.paper import Paper
from axisor_executor.stack import paper_world
from axisor_executor.stack.paper_jobs import bring
from tests.harness.world import World

KEY = "of this stack"


@pytest.fixture
def paper_control(world: World) -> Iterator[Paper]:
    control = Paper(world.paper.url)
    yield control
    control.close()


def test_it_is_written_once(world: World, paper_control: Paper) -> None:
    for _ in range(2):
        paper_world.open_on_exchange(paper_control, KEY)
        paper_world.write_rows(world.parts, KEY)
    assert len(paper_control.accounts()) == len(paper_world.ACCOUNTS)
    for account in paper_world.ACCOUNTS:
        (written,) = accounts.listed(world.parts, account.user)
        assert (written["id"], written["name"], written["isActive"]) == (account.id, account.name, True)
        assert len(automations.listed(world.parts, user_id=account.user)) == len(account.automations)


def test_an_exchange_that_forgot_gets_the_same_keys(world: World, paper_control: Paper) -> None:
    paper_world.open_on_exchange(paper_control, KEY)
    paper_world.write_rows(world.parts, KEY)
    account = paper_world.ACCOUNTS[0]
    assert accounts.verify(world.parts, account.id)["isVerified"]
    world.paper.reset()
    assert not accounts.verify(world.parts, account.id)["isVerified"]
    paper_world.open_on_exchange(paper_control, KEY)
    assert accounts.verify(world.parts, account.id)["isVerified"]


def test_another_stack_has_other_keys(world: World, paper_control: Paper) -> None:
    for key in (KEY, "of another"):
        paper_world.open_on_exchange(paper_control, key)
    assert len({row["key"] for row in paper_control.accounts()}) == 2 * len(paper_world.ACCOUNTS)


def test_jobs_are_brought_for_what_is_switched_on(world: World, paper_control: Paper) -> None:
    paper_world.open_on_exchange(paper_control, KEY)
    paper_world.write_rows(world.parts, KEY)
    count = sum(len(account.automations) for account in paper_world.ACCOUNTS)
    assert bring(world.parts) == count
    first = automations.listed(world.parts, user_id=paper_world.USERS[0])[0]
    automations.set_active(world.parts, first["id"], False)
    assert bring(world.parts) == count - 1
