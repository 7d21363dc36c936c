"""`keys generate`, `keys status` and `keys rotate`."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from axisor_executor.credentials import Format, KeyRing, StoredCredentials
from axisor_executor.storage.models import AccountRow
from tests.cli.conftest import Commands
from tests.harness.world import ENCRYPTION_KEY, Account, World

NEW_KEY = "canary-new-key-77aa"
KEYS = {"AXISOR_ENCRYPTION_KEYS": f"{NEW_KEY},{ENCRYPTION_KEY}"}
NEW_ID, OLD_ID = KeyRing([SecretStr(NEW_KEY), SecretStr(ENCRYPTION_KEY)]).key_ids


@pytest.fixture
def monoliths(world: World) -> None:
    """Have the tables be the monolith's."""
    world.storage.run("UPDATE axisor_schema SET owns_monolith_tables = 0")


def stored(world: World, account: Account) -> dict[str, Any]:
    with world.storage.connection():
        found = AccountRow.get_by_id(account.id).credentials
    assert isinstance(found, dict)
    return found


def reads(world: World, account: Account, key: str) -> bool:
    row = StoredCredentials(stored(world, account), account_id=account.id)
    return row.open(KeyRing([SecretStr(key)])).reveal_secret() == account.paper.secret


def events(commands: Commands, *arguments: str, code: int = 0, **env: str) -> dict[str, Any]:
    lines = commands("keys", "rotate", *arguments, "--json", code=code, **{**KEYS, **env}).stdout.splitlines()
    return {one["event"]: one for one in map(json.loads, lines)}


class TestGenerate:
    def test_each_is_another_and_long(self, alone: Commands) -> None:
        first, second = (alone("keys", "generate").stdout.strip() for _ in range(2))
        assert first != second
        assert len(first) == 43
        assert "," not in first, "it can stand in a list"

    def test_a_file_is_for_its_owner(self, alone: Commands, tmp_path: Path) -> None:
        file = tmp_path / "new.key"
        shown = alone("keys", "generate", "--out", str(file))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(file.read_text()) == 43
        assert file.read_text() not in shown.output

    def test_no_file_is_overwritten(self, alone: Commands, tmp_path: Path) -> None:
        file = tmp_path / "old.key"
        file.write_text("precious")
        assert "File exists" in alone("keys", "generate", "--out", str(file), code=1).stderr
        assert file.read_text() == "precious"


class TestStatus:
    def test_what_is_written_with_what(self, commands: Commands, world: World) -> None:
        world.account("u1", "Old")
        world.account("u2", "Sealed", format="sealed")
        world.account("u3", "Plain", credentials={"API Key": "canary-plain", "API Secret": "s", "Passphrase": "p"})
        world.account("u4", "Bare", credentials={})
        found = commands.json("keys", "status", **KEYS)
        new, old = found["keys"]
        assert (new["id"], new["writes"], new["accounts"], new["removable"]) == (NEW_ID, True, 0, False)
        assert (old["id"], old["setting"]) == (OLD_ID, "AXISOR_ENCRYPTION_KEYS[1]")
        assert (old["accounts"], old["monolith"], old["sealed"], old["removable"]) == (2, 1, 1, False)
        assert (found["accounts"], found["withoutCredentials"], found["plainText"], found["toRotate"]) == (4, 1, 1, 3)
        shown = commands("keys", "status", **KEYS).output + json.dumps(found)
        for secret in (NEW_KEY, ENCRYPTION_KEY, "canary-plain", world.accounts[0].paper.key):
            assert secret not in shown
        assert "still needed" in shown

    def test_what_cant_be_read_is_named(self, commands: Commands, world: World) -> None:
        lost = world.account()
        found = commands.json("keys", "status", code=1, ENCRYPTION_KEY="another")
        assert (found["unreadable"]["count"], found["unreadable"]["items"][0]["accountId"]) == (1, lost.id)
        assert "Main Account of user user123" in commands("keys", "status", code=1, ENCRYPTION_KEY="another").stdout

    @pytest.mark.parametrize("format_", ["monolith", "sealed"])
    def test_the_key_of_an_account_that_only_a_rotation_cant_read_is_needed(
        self, commands: Commands, world: World, format_: Format
    ) -> None:
        """A worker reads the monolith's spelling; what stands beside it is garbage, so a rotation leaves it alone."""
        account = world.account(format=format_)
        row = {**stored(world, account), "apiKey": f"{'0' * 32}:{'1' * 32}"}
        world.storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", row, account.id)
        assert events(commands, code=1)["finished"]["unreadable"] == 1
        assert reads(world, account, ENCRYPTION_KEY)
        found = commands.json("keys", "status", code=1, **KEYS)
        assert [(one["accounts"], one["removable"]) for one in found["keys"]] == [(0, False), (0, False)]
        shown = commands("keys", "status", code=1, **KEYS).stdout
        assert "may be removed" not in shown
        assert "still needed" in shown

    def test_a_key_that_reads_nothing_of_what_cant_be_read_may_be_removed(
        self, commands: Commands, world: World
    ) -> None:
        world.account()
        keys = {"AXISOR_ENCRYPTION_KEYS": f"{NEW_KEY},third", "ENCRYPTION_KEY": "another"}
        found = commands.json("keys", "status", code=1, **keys)
        assert [one["removable"] for one in found["keys"]] == [False, True, True]

    def test_without_a_key(self, commands: Commands, world: World) -> None:
        assert "ENCRYPTION_KEY" in commands.error("keys", "status", ENCRYPTION_KEY="")


class TestRotate:
    def test_from_the_old_key_to_the_new_one(self, commands: Commands, world: World) -> None:
        accounts = [world.account(f"u{number}", f"Account {number}", format="sealed") for number in range(3)]
        counted = events(commands, "--dry-run")["counted"]
        assert (counted["accounts"], counted["toRotate"], counted["key"], counted["format"]) == (3, 3, NEW_ID, "sealed")
        assert all(reads(world, account, ENCRYPTION_KEY) for account in accounts), "a dry run counts only"

        shown = commands("keys", "rotate", **KEYS)
        assert "3 accounts were written and read back" in shown.stdout
        assert all(reads(world, account, NEW_KEY) for account in accounts)
        assert events(commands)["finished"]["skipped"] == 3

        found = commands.json("keys", "status", **KEYS)
        assert [one["removable"] for one in found["keys"]] == [False, True]
        assert "may be removed" in commands("keys", "status", **KEYS).stdout
        assert commands.json("keys", "status", ENCRYPTION_KEY=NEW_KEY)["unreadable"]["count"] == 0

    def test_what_cant_be_read_is_left_and_told(self, commands: Commands, world: World) -> None:
        good = world.account("u1", "Good", format="sealed")
        lost = world.account("u2", "Lost", format="sealed")
        moved = stored(world, good)
        world.storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", moved, lost.id)
        told = events(commands, code=1)
        assert (told["finished"]["rotated"], told["finished"]["complete"]) == (1, False)
        assert [one["accountId"] for one in told["unreadable"]["items"]] == [lost.id]
        assert stored(world, lost) == moved
        assert "Lost of user u2" in commands("keys", "rotate", code=1, **KEYS).stdout
        assert events(commands, "--dry-run", code=1)["unreadable"]["count"] == 1

    def test_plain_text_is_encrypted_unless_told_not_to(self, commands: Commands, world: World) -> None:
        row = {"API Key": "canary-k", "API Secret": "canary-s", "Passphrase": "canary-p"}
        account = world.account(credentials=row)
        assert events(commands, "--keep-plain-text")["finished"]["rotated"] == 0
        assert stored(world, account) == row
        shown = commands("keys", "rotate", **KEYS)
        assert "1 of them have secrets in plain text" in shown.stdout
        assert "canary" not in shown.output
        assert not any("canary" in value for value in stored(world, account).values())

    def test_progress_is_told_to_machines(
        self, commands: Commands, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys.modules["axisor_executor.cli.keys"], "_TOLD_EVERY", 2)
        for number in range(3):
            world.account(f"u{number}", f"Account {number}", format="sealed")
        assert events(commands)["progress"] == {"event": "progress", "done": 2, "total": 3}


class TestTheMonolith:
    @pytest.mark.parametrize("before", ["monolith", "sealed"])
    def test_sealing_needs_a_word(self, commands: Commands, world: World, monoliths: None, before: Format) -> None:
        account = world.account(format=before)
        rotate = ("keys", "rotate", "--format", "sealed")
        own_key = {"AXISOR_ENCRYPTION_KEYS": f"{NEW_KEY},{ENCRYPTION_KEY}", "ENCRYPTION_KEY": NEW_KEY}
        assert "[monolith_reads]" in commands.error(*rotate, **own_key)
        assert reads(world, account, ENCRYPTION_KEY)
        shown = commands(*rotate, "--monolith-no-longer-reads", **own_key)
        assert "AXISOR_CREDENTIALS_FORMAT=sealed" in shown.stderr
        assert reads(world, account, NEW_KEY)
        assert stored(world, account)["API Key"].startswith("axs1:")

    def test_so_does_a_key_that_it_does_not_have(self, commands: Commands, world: World, monoliths: None) -> None:
        account = world.account()
        assert "ENCRYPTION_KEY only" in commands.error("keys", "rotate", **KEYS)
        assert reads(world, account, ENCRYPTION_KEY)
        switched = events(commands, ENCRYPTION_KEY=NEW_KEY)
        assert (switched["finished"]["rotated"], switched["counted"]["format"]) == (1, "monolith")
        assert reads(world, account, NEW_KEY)

    def test_back_to_its_format_with_a_warning(self, commands: Commands, world: World) -> None:
        account = world.account(format="sealed")
        shown = commands("keys", "rotate", "--format", "monolith", **KEYS)
        assert "Warning: the format monolith" in shown.stderr
        assert not stored(world, account)["API Key"].startswith("axs1:")
        assert reads(world, account, NEW_KEY)


class TestWorkers:
    def test_one_that_lacks_the_key_forbids_it(self, commands: Commands, world: World, tmp_path: Path) -> None:
        """What it could not read would fail its jobs; a rotation waits for its restart."""
        account = world.account(format="sealed")
        with world.worker(tmp_path / "worker.log"):
            message = commands.error("keys", "rotate", **KEYS)
            assert "[worker_lacks_key]" in message
            assert f"do not have key {NEW_ID}" in message
            assert commands("keys", "rotate", "--dry-run", **KEYS)
        assert reads(world, account, ENCRYPTION_KEY)
        with world.worker(tmp_path / "restarted.log", **KEYS):
            assert "1 accounts were written" in commands("keys", "rotate", **KEYS).stdout


def test_on_a_terminal_a_bar_is_shown(world: World, commands: Commands) -> None:
    """In a process of its own, whose standard error is a terminal."""
    import pty
    import subprocess

    world.account(format="sealed")
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "axisor_executor.cli", "keys", "rotate"]
    env = {**world.environment(**KEYS), "TERM": "xterm"}
    done = subprocess.run(command, stderr=terminal, stdout=subprocess.PIPE, env=env, check=True, text=True)
    os.close(terminal)
    seen = b""
    try:
        while piece := os.read(controller, 4096):
            seen += piece
    except OSError:
        pass  # the terminal's other end is closed, and all was read
    os.close(controller)
    assert "1 accounts were written" in done.stdout
    assert b"Rotating" in seen
