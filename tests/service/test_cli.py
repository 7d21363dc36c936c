"""`axisor-executor tokens`: made, shown once, listed, revoked."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from axisor_executor.storage import tokens
from tests.cli.conftest import Commands, commands  # noqa: F401  the fixture
from tests.harness.world import World


def test_a_token_is_shown_once_and_passes(commands: Commands, world: World) -> None:  # noqa: F811
    shown = commands("tokens", "create", "--name", "monitoring")
    text = shown.stdout.strip()
    assert tokens.check(world.storage, text).scopes == ("read",)
    assert text not in shown.stderr
    listed = commands.json("tokens", "list")
    assert [(one["name"], one["scopes"], one["userId"]) for one in listed] == [("monitoring", ["read"], None)]
    everything = commands("tokens", "list").stdout + str(listed)
    assert "monitoring" in everything
    assert text.split("_", 2)[2] not in everything


@pytest.mark.parametrize("option", ["", "--json"])
def test_one_that_could_not_be_shown_is_revoked(world: World, option: str) -> None:
    command = f"{shlex.quote(sys.executable)} -m axisor_executor.cli tokens create --name x {option} >/dev/full"
    done = subprocess.run(
        command, shell=True, env=world.environment(), capture_output=True, text=True, check=False, timeout=60
    )
    (made,) = tokens.listed(world.storage)
    assert made.revoked_at is not None
    assert done.returncode == 1
    assert done.stderr.endswith(
        f"Token {made.id} could not be shown, and is revoked.\n"
        "error: the output can't be written: No space left on device\n"
    )


def test_scopes_user_and_end(commands: Commands, world: World) -> None:  # noqa: F811
    options = ["--scope", "operate", "--scope", "read", "--user", "user123", "--days", "30"]
    made = commands.json("tokens", "create", "--name", "[of] user123", *options)
    found = tokens.check(world.storage, made["token"])
    assert (found.scopes, found.user_id) == (("read", "operate"), "user123")
    assert made["expiresAt"] > made["createdAt"]
    assert "[of] user123" in commands("tokens", "list").stdout


def test_a_revoked_one_is_listed_as_such(commands: Commands, world: World) -> None:  # noqa: F811
    made = commands.json("tokens", "create", "--name", "one")
    assert "is revoked" in commands("tokens", "revoke", made["id"]).stdout
    assert commands.json("tokens", "list")[0]["revokedAt"]
    assert "[token_not_found]" in commands.error("tokens", "revoke", "0" * 16)


def test_none(commands: Commands) -> None:  # noqa: F811
    assert commands("tokens", "list").stdout == "No token found\n"


def test_wrong_usage(commands: Commands) -> None:  # noqa: F811
    for wrong in (["create"], ["create", "--name", "x", "--scope", "all"], ["create", "--name", "x", "--days", "0"]):
        assert "Usage:" in commands("tokens", *wrong, code=2).stderr
