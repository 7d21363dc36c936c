"""Keeping a world in a file: writing down what is done to it, and doing that again.

Commands are deterministic given their arguments and the ids that they draw, so a record is those. Records are replaced
by a snapshot when a server starts, when it is stopped, and when they have become many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from axisor_paper_exchange.server import calls
from axisor_paper_exchange.server.call import Routes
from axisor_paper_exchange.server.clock import system_time
from axisor_paper_exchange.server.commands import commands, open_account
from axisor_paper_exchange.server.ids import IdsDiffer
from axisor_paper_exchange.server.settings import Settings
from axisor_paper_exchange.server.state.file import Contents, StateError, StateFile
from axisor_paper_exchange.server.state.graph import GraphError, Reader, Writer
from axisor_paper_exchange.server.world import World

__all__ = ["Keeper", "pack", "unpack"]

_COMPACT_FROM = 64 * 2**20
_COMPACT_AT = 2
"""Records are replaced when they take this many times what a snapshot takes, and `_COMPACT_FROM` bytes."""


class Keeper:
    """Keeps a world in a state file. `broken` is why it could not, if so: then the world must not go on."""

    def __init__(self, path: str, world: World, routes: Routes, on_break: Callable[[], None]) -> None:
        """Fill the world from the file, if there is anything in it, and keep it there from now on.

        Raises `StateError` when the file can't be used.
        """
        self.broken: StateError | None = None
        self.found = False
        self.torn = False
        self._world = world
        self._on_break = on_break
        self._file = StateFile(path)
        try:
            contents = self._file.read()
            if contents is not None:
                self.found, self.torn = True, contents.torn
                _restore(world, routes, contents)
            self._size = self._file.replace(pack(world))
        except BaseException:
            self._file.close()
            raise
        world.recorder = self

    def write(self, command: str, arguments: dict[str, Any], ids: list[str]) -> None:
        """Write a command down; the recorder of `World`."""
        if self.broken is not None:
            raise self.broken
        writer = Writer({})
        record = [command, writer.value(arguments), ids, writer.layout]
        try:
            self._file.append(record)
            if self._file.size > max(_COMPACT_FROM, _COMPACT_AT * self._size):
                self._size = self._file.replace(pack(self._world))
        except StateError as error:
            self.broken = error
            self._on_break()
            raise

    def close(self) -> None:
        """Replace the records by a snapshot, and let others have the file."""
        self._world.recorder = None
        self._world.reserved = 0
        try:
            if self.broken is None:
                self._file.replace(pack(self._world))
        finally:
            self._file.close()


def pack(world: World) -> dict[str, Any]:
    """Return a world as JSON. Left out: requests, faults, and what rate limits have counted."""
    writer = Writer({"ids": world.ids})
    kept = writer.value(
        {
            "exchange": world.exchange,
            "keys_of": world.keys_of,
            "wallets": world.wallets,
            "effects": world.journal.all_effects,
            "last_request": max(world.journal.last, world.reserved),
            "settings": world.settings,
            "feed": world.feed,
            "candles": world.candles,
            "price_moved_at": world.price_moved_at,
            "start": world.start,
            "opening": world.opening,
        }
    )
    objects = writer.objects()
    return {"layout": writer.layout, "objects": objects, "world": kept}


def unpack(world: World, packed: dict[str, Any]) -> None:
    """Make a world what it was when it was packed. Raises `GraphError` when that was another program's."""
    _check_layout(packed["layout"])
    reader = Reader(packed["layout"], packed["objects"], {"ids": world.ids})
    kept = reader.value(packed["world"])
    world.start, world.opening = kept["start"], kept["opening"]
    world.exchange = kept["exchange"]
    world.keys_of, world.wallets = kept["keys_of"], kept["wallets"]
    world.keys = {made.key: made for keys in world.keys_of.values() for made in keys}
    world.journal.resume(kept["effects"], kept["last_request"])
    world.candles, world.price_moved_at = kept["candles"], kept["price_moved_at"]
    world.apply(kept["settings"])
    world.run(kept["feed"])


def _restore(world: World, routes: Routes, contents: Contents) -> None:
    try:
        unpack(world, contents.snapshot)
        for number, record in enumerate(contents.records, 1):
            _repeat(world, routes, number, record)
    except (GraphError, LookupError, AttributeError, TypeError, ValueError) as error:
        raise StateError(f"the state was written by version {contents.written_by}, which differs: {error}") from error
    finally:
        world.ids.repeat(None)
    world.feed.woken(system_time())
    world.run(world.feed)
    world.journal.resume(world.journal.all_effects, max(world.journal.last, world.reserved))
    world.reserved = 0


def _repeat(world: World, routes: Routes, number: int, record: list[Any]) -> None:
    name, packed, ids, layout = record
    arguments = Reader(layout, [], {}).value(packed)
    world.ids.repeat(ids)
    try:
        if name == calls.CALL:
            calls.repeat(world, routes, arguments)
        else:
            commands[name](world, **arguments)
    except (calls.CallDiffers, IdsDiffer) as error:
        raise ValueError(f"record {number} does not come out as it did ({name} {error})") from error


def _check_layout(layout: list[list[Any]]) -> None:
    """Compare classes that only an instance tells the layout of with those of a new world."""
    sample = World(Settings(), 1)
    sample.do(open_account, at=0, username="", balance=1, key="", secret="", passphrase="", permissions=())
    writer = Writer({"ids": sample.ids})
    writer.value({"exchange": sample.exchange, "candles": sample.candles})
    writer.objects()
    known = {name: sorted(names) for name, names in writer.layout}
    for name, names in layout:
        if name in known and known[name] != sorted(names):
            raise GraphError(f"{name} holds {', '.join(known[name])}, not {', '.join(sorted(names))}")
