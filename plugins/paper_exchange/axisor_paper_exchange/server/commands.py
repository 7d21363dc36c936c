"""What changes a world besides the API's own calls: for `World.do`.

Everything that a command does follows from the world and the command's arguments, which are plain values: instants and
secrets are chosen by the caller. So commands can be written down, and done again after a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from axisor_paper_exchange.engine import Fired
from axisor_paper_exchange.server.auth import Credentials, Permission
from axisor_paper_exchange.server.market import Feed, Source
from axisor_paper_exchange.server.settings import Settings
from axisor_paper_exchange.server.wallet import Deposit, DepositMethod, Notification, Wallet
from axisor_paper_exchange.server.world import World

__all__ = [
    "add_key",
    "commands",
    "deposit",
    "give_settings",
    "move_price",
    "notify",
    "open_account",
    "replace_market",
    "reserve_requests",
    "reset",
    "revoke_key",
    "settle",
    "step",
    "turn_market",
]

_NO_VOLUME = Decimal(0)


def open_account(
    world: World,
    *,
    at: int,
    username: str,
    balance: int,
    key: str,
    secret: str,
    passphrase: str,
    permissions: tuple[Permission, ...],
) -> Credentials:
    """Open an account with `balance` sats and one key, which must be free."""
    account = world.exchange.open_account(username, balance, at)
    world.wallets[account.id] = Wallet()
    world.keys_of[account.id] = []
    credentials = Credentials(account, key, secret, passphrase, permissions)
    world.give_key(credentials)
    return credentials


def add_key(
    world: World, *, account_id: str, key: str, secret: str, passphrase: str, permissions: tuple[Permission, ...]
) -> Credentials:
    """Give an account one more key; those that it has stay valid."""
    credentials = Credentials(world.exchange.accounts[account_id], key, secret, passphrase, permissions)
    world.give_key(credentials)
    return credentials


def revoke_key(world: World, *, key: str) -> None:
    """Make a key invalid."""
    world.take_key(key)


def deposit(
    world: World, *, at: int, account_id: str, method: DepositMethod, amount: int, comment: str | None
) -> Deposit:
    """Add sats to an account's balance, as if they had come from outside."""
    made = Deposit(world.ids(), at, method, amount, comment)
    world.exchange.deposits += amount
    world.exchange.accounts[account_id].book(at, "deposit", amount)
    world.wallets[account_id].deposits.append(made)
    return made


def notify(world: World, *, at: int, account_id: str, event: str, message: str) -> Notification:
    """Send a notification to an account's owner."""
    made = Notification(world.ids(), at, event, message)
    world.wallets[account_id].notifications.append(made)
    return made


def move_price(world: World, *, at: int, price: int) -> list[Fired]:
    """Move the last price (ticks) and set off what lies on the way."""
    return _move(world, at, price, _NO_VOLUME)


def step(world: World, *, at: int, market_time: int, price: int, volume: Decimal) -> list[Fired]:
    """Take the market's next step, which was due at `market_time` and leads to `price` (ticks)."""
    world.feed.stepped(market_time)
    return _move(world, at, price, volume)


def settle(world: World, *, at: int, rate: Decimal | None) -> list[Fired]:
    """Pass the time at which funding is due, and settle it at `rate`; None: it is switched off."""
    world.feed.settled()
    return [] if rate is None else world.exchange.settle_funding(at, rate).fired


def give_settings(world: World, *, settings: Settings) -> None:
    """Make settings effective."""
    world.apply(settings)


def replace_market(world: World, *, source: Source, speed: Decimal, paused: bool, market_time: int) -> None:
    """Let prices come from another source, from its begin on."""
    world.run(Feed.starting(source, market_time, speed=speed, paused=paused))


def turn_market(world: World, *, speed: Decimal, paused: bool, market_time: int) -> None:
    """Change the market's speed, stop it or let it go on, where it is at `market_time`."""
    feed = world.feed
    feed.wait_until(market_time)
    feed.speed = speed
    feed.paused = paused
    world.run(feed)


def reserve_requests(world: World, *, last: int) -> None:
    """Write down that requests may have got sequence numbers up to `last`: a killed server's are not used again."""
    world.reserved = last


def reset(world: World, *, now: int) -> None:
    """Put everything back to the start."""
    world.reset(now)


def _move(world: World, at: int, price: int, volume: Decimal) -> list[Fired]:
    world.price_moved_at = at
    world.candles.record(price, at, volume)
    return world.exchange.move_price(price, at)


_COMMANDS: tuple[Callable[..., Any], ...] = (
    add_key,
    deposit,
    give_settings,
    move_price,
    notify,
    open_account,
    replace_market,
    reserve_requests,
    reset,
    revoke_key,
    settle,
    step,
    turn_market,
)
commands = {command.__name__: command for command in _COMMANDS}
