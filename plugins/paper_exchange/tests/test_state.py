"""A world is after a restart, or a kill, what it was before: random commands against a file, without a server."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axisor_paper_exchange.engine import audit, seeded_ids
from axisor_paper_exchange.server import Settings, commands
from axisor_paper_exchange.server.api import routes
from axisor_paper_exchange.server.call import Call
from axisor_paper_exchange.server.calls import carry_out
from axisor_paper_exchange.server.living import skip, take_steps
from axisor_paper_exchange.server.market import Walk
from axisor_paper_exchange.server.state import Keeper, StateError, keeper
from axisor_paper_exchange.server.state.file import StateFile
from axisor_paper_exchange.server.state.keeper import pack, unpack
from axisor_paper_exchange.server.world import World

ISOLATED = "/v3/futures/isolated/trade"
CROSS = "/v3/futures/cross"
AT = 1_770_000_000_000

Step = tuple[str, int, int]
names = [
    "market_order",
    "limit_order",
    "close",
    "cancel",
    "cancel_all",
    "add_margin",
    "cash_in",
    "takeprofit",
    "stoploss",
    "trailing",
    "cross_deposit",
    "cross_order",
    "cross_limit",
    "cross_leverage",
    "cross_close",
    "cross_cancel_all",
    "cross_withdraw",
    "read",
    "mark_read",
    "open_account",
    "add_key",
    "revoke_key",
    "deposit",
    "notify",
    "price",
    "price",
    "price",
    "steps",
    "funding",
    "settings",
]
histories = st.lists(st.tuples(st.sampled_from(names), st.integers(0, 5), st.integers(0, 999)), max_size=40)


class Story:
    """Does things to a world, each at its own instant."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.at = AT

    def tell(self, history: list[Step]) -> None:
        for name, who, much in history:
            self.at += 1000
            getattr(self, name)(who, much)

    def call(self, who: int, method: str, path: str, body: Any = None, query: str = "") -> None:
        accounts = list(self.world.exchange.accounts.values())
        if not accounts:
            return
        account = accounts[who % len(accounts)]
        request = self.world.journal.arrive(
            at=self.at,
            key=None,
            method=method,
            path=path,
            query=query,
            body=b"" if body is None else json.dumps(body).encode(),
            timestamp=None,
        )
        request.account_id = account.id
        call = Call(self.world, request, account)
        answer = carry_out(routes[method, path], call)
        assert answer.status in {200, 400, 404}, answer

    def trade(self, who: int, much: int, state: str) -> str:
        accounts = list(self.world.exchange.accounts.values())
        trades = list(getattr(accounts[who % len(accounts)], state)) if accounts else []
        return trades[much % len(trades)] if trades else "b87eef8a-52ab-4fea-adcf-22a4a2b7d1a3"

    def market_order(self, who: int, much: int) -> None:
        self.call(who, "POST", ISOLATED, self.order(much, "market"))

    def limit_order(self, who: int, much: int) -> None:
        self.call(who, "POST", ISOLATED, {**self.order(much, "limit"), "price": 49_500 + much})

    @staticmethod
    def order(much: int, kind: str) -> dict[str, Any]:
        side = "buy" if much % 2 else "sell"
        return {"type": kind, "side": side, "leverage": 1 + much % 60, "quantity": 1 + much, "clientId": f"ü{much}"}

    def close(self, who: int, much: int) -> None:
        self.call(who, "POST", f"{ISOLATED}/close", {"id": self.trade(who, much, "running")})

    def cancel(self, who: int, much: int) -> None:
        self.call(who, "POST", f"{ISOLATED}/cancel", {"id": self.trade(who, much, "open")})

    def cancel_all(self, who: int, _: int) -> None:
        self.call(who, "POST", f"{ISOLATED}s/cancel-all")

    def add_margin(self, who: int, much: int) -> None:
        self.call(who, "POST", f"{ISOLATED}/add-margin", {"id": self.trade(who, much, "running"), "amount": 1 + much})

    def cash_in(self, who: int, much: int) -> None:
        self.call(who, "POST", f"{ISOLATED}/cash-in", {"id": self.trade(who, much, "running"), "amount": 1 + much})

    def takeprofit(self, who: int, much: int) -> None:
        body = {"id": self.trade(who, much, "running"), "value": 49_000 + 2 * much}
        self.call(who, "PUT", f"{ISOLATED}/takeprofit", body)

    def stoploss(self, who: int, much: int) -> None:
        body = {"id": self.trade(who, much, "running"), "value": 49_000 + 2 * much}
        self.call(who, "PUT", f"{ISOLATED}/stoploss", body)

    def trailing(self, who: int, much: int) -> None:
        body = {"id": self.trade(who, much, "running"), "value": 0.01, "mode": "trailing"}
        self.call(who, "PUT", f"{ISOLATED}/stoploss", body)

    def cross_deposit(self, who: int, much: int) -> None:
        self.call(who, "POST", f"{CROSS}/deposit", {"amount": 1 + 100 * much})

    def cross_withdraw(self, who: int, much: int) -> None:
        self.call(who, "POST", f"{CROSS}/withdraw", {"amount": 1 + much})

    def cross_order(self, who: int, much: int) -> None:
        side = "buy" if much % 2 else "sell"
        self.call(who, "POST", f"{CROSS}/order", {"type": "market", "side": side, "quantity": 1 + much})

    def cross_limit(self, who: int, much: int) -> None:
        side = "buy" if much % 2 else "sell"
        body = {"type": "limit", "side": side, "quantity": 1 + much, "price": 49_500 + much}
        self.call(who, "POST", f"{CROSS}/order", body)

    def cross_leverage(self, who: int, much: int) -> None:
        self.call(who, "PUT", f"{CROSS}/leverage", {"leverage": 1 + much % 100})

    def cross_close(self, who: int, _: int) -> None:
        self.call(who, "POST", f"{CROSS}/position/close")

    def cross_cancel_all(self, who: int, _: int) -> None:
        self.call(who, "POST", f"{CROSS}/orders/cancel-all")

    def read(self, who: int, much: int) -> None:
        self.call(who, "GET", f"{CROSS}/position" if much % 2 else "/v3/account/notifications")

    def mark_read(self, who: int, _: int) -> None:
        self.call(who, "PUT", "/v3/account/notifications")

    def open_account(self, _: int, much: int) -> None:
        world = self.world
        key = f"key {len(world.exchange.accounts)}"
        world.do(
            commands.open_account,
            at=self.at,
            username="ann",
            balance=1000 * much,
            key=key,
            secret="s",
            passphrase="p",
            permissions=("read", "trade"),
        )

    def add_key(self, who: int, much: int) -> None:
        for account_id in list(self.world.exchange.accounts)[who : who + 1]:
            key = f"more {who} {much} {self.at}"
            self.world.do(
                commands.add_key, account_id=account_id, key=key, secret="s", passphrase="p", permissions=("read",)
            )

    def revoke_key(self, who: int, _: int) -> None:
        for key in list(self.world.keys)[who : who + 1]:
            self.world.do(commands.revoke_key, key=key)

    def deposit(self, who: int, much: int) -> None:
        for account_id in list(self.world.exchange.accounts)[who : who + 1]:
            self.world.do(
                commands.deposit, at=self.at, account_id=account_id, method="internal", amount=1 + much, comment=None
            )

    def notify(self, who: int, much: int) -> None:
        for account_id in list(self.world.exchange.accounts)[who : who + 1]:
            self.world.do(commands.notify, at=self.at, account_id=account_id, event="e", message=str(much))

    def price(self, _: int, much: int) -> None:
        self.world.do(commands.move_price, at=self.at, price=99_000 + 2 * much)

    def steps(self, _: int, much: int) -> None:
        source = Walk(Decimal("0.05"), 60_000, much)
        world = self.world
        world.do(commands.replace_market, source=source, speed=Decimal(2), paused=True, market_time=self.at)
        take_steps(world, 3)

    def funding(self, _: int, much: int) -> None:
        changed = Settings(funding=True, funding_rate=Decimal(much - 500) / 10_000)
        self.world.do(commands.give_settings, settings=changed)
        skip(self.world, 9 * 3_600_000)

    def settings(self, _: int, much: int) -> None:
        self.world.do(
            commands.give_settings, settings=Settings(spread=2 * (much % 20), fee_rate=Decimal(much) / 100_000)
        )


def shown(world: World) -> Any:
    return json.loads(json.dumps(pack(world)))


@contextmanager
def kept(world: World, path: Path) -> Iterator[Keeper]:
    made = Keeper(str(path), world, routes, on_break=lambda: None)
    try:
        yield made
    finally:
        made.close()


def new_world() -> World:
    return World(Settings(), 10)


@settings(max_examples=60, deadline=None)
@given(histories, histories)
def test_a_killed_world_goes_on_as_if_nothing_had_been(before: list[Step], after: list[Step]) -> None:
    world, again = new_world(), new_world()
    with tempfile.TemporaryDirectory() as folder:
        path, copy = Path(folder, "state"), Path(folder, "copy")
        with kept(world, path):
            story = Story(world)
            story.open_account(0, 999)
            story.tell(before)
            # What a kill leaves: the file as it is now.
            shutil.copy(path, copy)
        with kept(again, copy):
            pass
    assert audit(again.exchange) == []
    # The market's time goes on without the server, and requests that changed nothing are not kept.
    assert (again.feed.source, again.feed.position) == (world.feed.source, world.feed.position)
    again.run(world.feed)
    again.journal.resume(again.journal.all_effects, world.journal.last)
    assert shown(again) == shown(world)
    third = new_world()
    unpack(third, shown(world))
    for one in (world, again, third):
        ids = seeded_ids(7)
        one.ids.repeat(iter(ids, None))
        story = Story(one)
        story.at = AT + 10**7
        # Those two go by the machine's clock, which is not the same for all three.
        story.tell([step for step in after if step[0] not in {"steps", "funding"}])
    assert shown(again) == shown(third) == shown(world)


def test_what_a_new_file_holds(tmp_path: Path) -> None:
    world = new_world()
    with kept(world, tmp_path / "state") as keeper:
        assert not keeper.found
    again = World(Settings(price=77), 10)
    with kept(again, tmp_path / "state") as keeper:
        assert keeper.found
        assert again.exchange.market.last == again.start.price == 100_000
    assert shown(again)["world"] == shown(world)["world"]


def test_a_call_that_would_come_out_differently_is_refused(tmp_path: Path) -> None:
    world = new_world()
    with kept(world, tmp_path / "state"):
        story = Story(world)
        story.open_account(0, 999)
        story.market_order(0, 9)
        shutil.copy(tmp_path / "state", tmp_path / "copy")
    file = StateFile(str(tmp_path / "copy"))
    contents = file.read()
    assert contents is not None
    file.replace(contents.snapshot)
    for record in contents.records[:-1]:
        file.append(record)
    name, (kind, *arguments), ids, layout = contents.records[-1]
    arguments[arguments.index("answer") + 1] = "200 00000000"
    file.append([name, [kind, *arguments], ids, layout])
    file.close()
    before = (tmp_path / "copy").read_bytes()
    with pytest.raises(StateError, match=r"record 2 does not come out as it did \(call POST .*/trade\)"):
        Keeper(str(tmp_path / "copy"), new_world(), routes, on_break=lambda: None)
    assert (tmp_path / "copy").read_bytes() == before
    # It was given back.
    StateFile(str(tmp_path / "copy")).close()


def test_a_file_of_a_program_that_kept_something_else_is_refused(tmp_path: Path) -> None:
    world = new_world()
    file = StateFile(str(tmp_path / "state"))
    packed = shown(world)
    for name, held in packed["layout"]:
        if name == "engine.exchange:Exchange":
            held[held.index("deposits")] = "gifts"
    file.replace(packed)
    file.close()
    with pytest.raises(StateError, match=r"which differs: engine\.exchange:Exchange holds .*deposits"):
        Keeper(str(tmp_path / "state"), new_world(), routes, on_break=lambda: None)


def test_records_are_replaced_when_they_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_COMPACT_FROM", 2000)
    world = new_world()
    with kept(world, tmp_path / "state"):
        story = Story(world)
        sizes = []
        for number in range(800):
            story.price(0, number)
            sizes.append((tmp_path / "state").stat().st_size)
        assert any(later < earlier for earlier, later in pairwise(sizes))
        shutil.copy(tmp_path / "state", tmp_path / "copy")
    again = new_world()
    with kept(again, tmp_path / "copy"):
        assert again.exchange.market.last == world.exchange.market.last


def test_sequence_numbers_are_not_used_twice_after_a_kill(tmp_path: Path) -> None:
    world = new_world()
    with kept(world, tmp_path / "state"):
        world.do(commands.reserve_requests, last=500)
        shutil.copy(tmp_path / "state", tmp_path / "copy")
    again = new_world()
    with kept(again, tmp_path / "copy"):
        assert again.journal.last == 500
    third = new_world()
    with kept(third, tmp_path / "state"):
        assert third.journal.last == 0
