"""`accounts`: no key is ever an argument or an output, and what is written was read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from axisor_executor import accounts
from axisor_executor.cli import main
from axisor_executor.credentials import StoredCredentials
from axisor_executor.runtime import Runtime
from axisor_executor.storage import account_rows
from axisor_executor.storage.account_rows import AccountRecord
from axisor_executor.storage.values import document
from tests.cli.conftest import Commands
from tests.harness.paper import PaperAccount
from tests.harness.world import Account, World

SPELLINGS = {
    "monolith": ("API Key", "API Secret", "Passphrase"),
    "snake": ("api_key", "api_secret", "passphrase"),
    "camel": ("apiKey", "apiSecret", "passphrase"),
}


@pytest.fixture
def owner(world: World) -> PaperAccount:
    """Somebody on the exchange with keys that no account holds."""
    return world.paper.create_account("owner", balance=123_456)


def keys_json(keys: PaperAccount, spelling: str = "monolith", **more: Any) -> str:
    names = SPELLINGS[spelling]
    return json.dumps({**dict(zip(names, (keys.key, keys.secret, keys.passphrase), strict=True)), **more})


def stored(world: World, account_id: str) -> Any:
    row = world.storage.one("SELECT credentials FROM user_exchange_accounts WHERE id = ?", account_id)
    assert row is not None
    return document(row[0])


def opened(world: World, account_id: str) -> tuple[str, str, str, bool]:
    found = StoredCredentials(stored(world, account_id), account_id=account_id).open(world.ring)
    return found.reveal_key(), found.reveal_secret(), found.reveal_passphrase(), found.testnet


def added(commands: Commands, keys: PaperAccount, *more: str, name: str = "Main Account", user: str = "user123") -> Any:
    options = ("--user", user, "--name", name, "--keys-file", "-")
    return commands.json("accounts", "add", *options, *more, given=keys_json(keys))


class TestAdd:
    @pytest.mark.parametrize("spelling", SPELLINGS)
    def test_from_a_file_in_every_spelling(
        self, commands: Commands, world: World, owner: PaperAccount, tmp_path: Path, spelling: str
    ) -> None:
        file = tmp_path / "keys.json"
        file.write_text(keys_json(owner, spelling, isTestnet="false"))
        options = ("--user", "user123", "--name", "Main Account", "--keys-file", str(file))
        made = commands.json("accounts", "add", *options)
        assert (made["added"], made["isActive"], made["isVerified"]) == (True, True, False)
        assert opened(world, made["id"]) == (owner.key, owner.secret, owner.passphrase, False)

    def test_keys_are_asked_for_and_not_echoed(self, commands: Commands, world: World, owner: PaperAccount) -> None:
        typed = f"{owner.key}\n{owner.secret}\n{owner.passphrase}\n"
        result = commands("accounts", "add", "--user", "user123", "--name", "Typed", given=typed)
        assert "API Key:" in result.stderr
        assert "Account" in result.stdout
        for secret in (owner.key, owner.secret, owner.passphrase):
            assert secret not in result.output + result.stderr
        (one,) = commands.json("accounts", "list")
        assert opened(world, one["id"])[0] == owner.key

    def test_no_option_takes_a_key(self) -> None:
        group: Any = main.commands["accounts"]
        options = {name for command in group.commands.values() for one in command.params for name in one.opts}
        assert not {name for name in options if any(word in name for word in ("key", "secret", "pass"))} - {
            "--keys-file"
        }

    def test_on_a_database_of_our_own_they_are_sealed_and_the_exchange_is_made(
        self, commands: Commands, world: World, owner: PaperAccount
    ) -> None:
        world.storage.run("DELETE FROM exchanges")
        made = added(commands, owner)
        assert (made["exchange"], made["exchangeName"]) == ("lnmarkets", "LN Markets")
        assert made["credentials"] == {"formats": ["sealed"], "isTestnet": False, "warnings": []}
        assert all(value.startswith("axs1:") for name, value in stored(world, made["id"]).items() if "P" in name)

    def test_the_setting_chooses_the_format(self, commands: Commands, world: World, owner: PaperAccount) -> None:
        options = ("--user", "u", "--name", "n", "--keys-file", "-")
        env = {"AXISOR_CREDENTIALS_FORMAT": "monolith"}
        made = commands.json("accounts", "add", *options, given=keys_json(owner), **env)
        assert made["credentials"]["formats"] == ["monolith"]
        assert opened(world, made["id"])[1] == owner.secret

    def test_the_second_is_not_active_unless_it_is_said(self, commands: Commands, owner: PaperAccount) -> None:
        first = added(commands, owner)
        second = added(commands, owner, name="Second")
        assert (first["isActive"], second["isActive"]) == (True, False)
        options = ("--user", "user123", "--name", "Third", "--keys-file", "-", "--active")
        told = commands.error("accounts", "add", *options, given=keys_json(owner))
        assert told.endswith("[several_active_accounts]\n")
        assert first["id"] in told
        assert added(commands, owner, user="user456")["isActive"]

    def test_the_same_again_changes_nothing(self, commands: Commands, world: World, owner: PaperAccount) -> None:
        first = added(commands, owner)
        before = stored(world, first["id"])
        again = added(commands, owner)
        assert (again["id"], again["added"]) == (first["id"], False)
        assert stored(world, first["id"]) == before

    def test_other_keys_under_a_name_that_is_taken_are_refused(
        self, commands: Commands, world: World, owner: PaperAccount
    ) -> None:
        first = added(commands, owner)
        other = world.paper.create_account("other")
        options = ("--user", "user123", "--name", "Main Account", "--keys-file", "-")
        told = commands.error("accounts", "add", *options, given=keys_json(other))
        assert told.endswith("[account_exists]\n")
        assert opened(world, first["id"])[0] == owner.key

    def test_an_id_of_ones_own(self, commands: Commands, owner: PaperAccount) -> None:
        assert added(commands, owner, "--id", "acc456")["id"] == "acc456"
        options = ("--user", "user123", "--name", "Other", "--keys-file", "-", "--id", "acc456")
        told = commands.error("accounts", "add", *options, given=keys_json(owner))
        assert told.endswith("[row_refused]\n")

    def test_keys_of_the_test_network(self, commands: Commands, world: World, owner: PaperAccount) -> None:
        made = added(commands, owner, "--testnet")
        assert made["credentials"]["isTestnet"] is True
        assert opened(world, made["id"])[3] is True

    @pytest.mark.parametrize(
        ("given", "code"),
        [
            ("", "credentials_unreadable"),
            ("not json: canary-secret", "credentials_unreadable"),
            (b"\xff\xfe canary-secret", "credentials_unreadable"),
            ('["canary-secret"]', "credentials_unreadable"),
            ('{"API Key": "canary-secret", "API Secret": "b"}', "credentials_missing"),
            ('{"API Key": "canary-secret", "API Secret": "b", "Passphrase": " "}', "credentials_missing"),
            ('{"API Key": "a\\nb", "API Secret": "canary-secret", "Passphrase": "c"}', "credentials_unreadable"),
            ('{"API Key": "a", "API Secret": "b", "Passphrase": {"x": "canary-secret"}}', "credentials_unreadable"),
            ('{"API Key": "canary-secret\\u200b", "API Secret": "b", "Passphrase": "c"}', "credentials_invalid"),
            ('{"API Key": "a", "apiKey": "canary-secret", "Passphrase": "c"}', "credentials_unreadable"),
            ("[" * 60_000, "credentials_unreadable"),
            (" " * 70_000, "credentials_unreadable"),
        ],
        ids=range(12),
    )
    def test_a_file_that_holds_no_keys(self, commands: Commands, world: World, given: str | bytes, code: str) -> None:
        options = ("--user", "user123", "--name", "Main Account", "--keys-file", "-")
        told = commands.error("accounts", "add", *options, given=given)
        assert told.endswith(f"[{code}]\n")
        assert "canary-secret" not in told
        assert world.storage.rows("SELECT 1 FROM user_exchange_accounts") == []

    def test_without_a_terminal_and_without_a_file(self, commands: Commands) -> None:
        result = commands("accounts", "add", "--user", "user123", "--name", "Main", code=1, given="")
        assert "give --keys-file FILE" in result.stderr
        assert "[credentials_missing]" in result.stderr

    def test_an_exchange_that_nobody_knows(self, commands: Commands, owner: PaperAccount) -> None:
        options = ("--user", "u", "--name", "n", "--exchange", "mtgox", "--keys-file", "-")
        told = commands.error("accounts", "add", *options, given=keys_json(owner))
        assert told.endswith("[unknown_exchange]\n")
        assert "lnmarkets" in told

    @pytest.mark.parametrize(
        "name", ['\'; DROP TABLE "TradeLog"; --', "<script>alert(1)</script>", "[red]n[/]", "é 🦊"]
    )
    def test_names_are_only_names(self, commands: Commands, owner: PaperAccount, name: str) -> None:
        made = added(commands, owner, name=name)
        assert commands.json("accounts", "show", made["id"])["name"] == name
        assert name.split(maxsplit=1)[0] in commands("accounts", "list").stdout

    @pytest.mark.parametrize("blank", ["", "  ", "\n"])
    def test_a_blank_name(self, commands: Commands, owner: PaperAccount, blank: str) -> None:
        options = ("--user", "u", "--name", blank, "--keys-file", "-")
        assert commands.error("accounts", "add", *options, given=keys_json(owner)).endswith("[invalid_account]\n")

    @pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "a\x7f", "a\u2028b"])
    def test_a_name_that_can_not_be_shown(self, commands: Commands, owner: PaperAccount, name: str) -> None:
        options = ("--user", "u", "--name", name, "--keys-file", "-")
        message = commands.error("accounts", "add", *options, given=json.dumps(owner.credentials()))
        assert message == "error: the name must be one line of printable text [invalid_account]\n"

    def test_without_an_encryption_key_nothing_is_written(
        self, commands: Commands, world: World, owner: PaperAccount
    ) -> None:
        options = ("--user", "u", "--name", "n", "--keys-file", "-")
        told = commands.error("accounts", "add", *options, given=keys_json(owner), ENCRYPTION_KEY="")
        assert "ENCRYPTION_KEY" in told
        assert world.storage.rows("SELECT 1 FROM user_exchange_accounts") == []


class TestListAndShow:
    @pytest.fixture
    def account(self, world: World) -> Account:
        world.account("user456", "Foreign Account")
        account = world.account()
        world.automation(account, "auto_entry", {"side": "b", "quantity": 1})
        world.automation(account, "auto_entry", {"side": "b", "quantity": 1}, is_active=False)
        return account

    def test_by_user(self, commands: Commands, account: Account) -> None:
        assert [one["userId"] for one in commands.json("accounts", "list")] == ["user123", "user456"]
        (one,) = commands.json("accounts", "list", "--user", "user123")
        assert (one["id"], one["automations"], one["activeAutomations"]) == (account.id, 2, 1)
        assert commands.json("accounts", "list", "--user", "nobody") == []
        assert commands("accounts", "list", "--user", "nobody").stdout == "No account found\n"
        assert account.id in commands("accounts", "list").stdout

    def test_nothing_of_the_keys_is_shown(self, commands: Commands, world: World, account: Account) -> None:
        shown = [commands("accounts", *words).output for words in (["list"], ["list", "--json"])]
        shown += [commands("accounts", "show", account.id, *more).output for more in ((), ("--json",))]
        parts = {*stored(world, account.id).values()} - {"true", "false"}
        keys = account.paper
        for secret in (keys.key, keys.secret, keys.passphrase, *parts):
            assert not any(secret[:6] in text or secret[-6:] in text for text in shown)

    def test_show_says_what_there_is(self, commands: Commands, account: Account) -> None:
        told = commands("accounts", "show", account.id[:8]).stdout
        for part in (account.id, "Main Account", "user123", "LN Markets", "stored as monolith, of mainnet", "2, 1 of"):
            assert part in told

    def test_what_is_not_there(self, commands: Commands, account: Account) -> None:
        for command in ("show", "verify", "enable", "disable", "rotate"):
            assert commands.error("accounts", command, "nonsense").endswith("[account_not_found]\n")
        assert commands.error("accounts", "show", "").endswith("[account_not_found]\n")

    def test_a_beginning_that_several_have(self, commands: Commands, owner: PaperAccount) -> None:
        ids = [f"{number}23e4567-e89b-12d3-a456-42661417400{last}" for number, last in ((7, 0), (7, 1), (8, 0))]
        for id_ in ids:
            added(commands, owner, "--id", id_, name=f"of {id_}")
        told = commands.error("accounts", "show", "723e")
        assert told.endswith("[ambiguous_id]\n")
        assert f"{ids[0]}, {ids[1]}" in told
        assert commands.json("accounts", "show", ids[1])["name"] == f"of {ids[1]}"
        assert commands.json("accounts", "show", "823e")["id"] == ids[2]

    @pytest.mark.parametrize("command", ["show", "disable", "enable", "rotate"])
    def test_the_id_of_one_that_is_gone_is_not_taken_for_the_beginning_of_another(
        self, commands: Commands, owner: PaperAccount, command: str
    ) -> None:
        added(commands, owner, "--id", "acc12", name="a")
        assert commands.error("accounts", command, "acc1").endswith("[account_not_found]\n")
        assert commands.json("accounts", "show", "acc12")["isActive"] is True

    @pytest.mark.parametrize(
        ("credentials", "formats"),
        [({"API Key": "plain", "API Secret": "s", "Passphrase": "p"}, ["plain text"]), ({}, []), ("x", ["unreadable"])],
    )
    def test_what_stands_there_badly_is_listed_all_the_same(
        self, commands: Commands, world: World, credentials: Any, formats: list[str]
    ) -> None:
        account = world.account()
        world.storage.run(
            "UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", json.dumps(credentials), account.id
        )
        shown = commands.json("accounts", "show", account.id)
        assert shown["credentials"]["formats"] == formats


class TestVerify:
    def test_whose_key_it_is(self, commands: Commands, world: World) -> None:
        account = world.account(balance=777_000)
        world.storage.run("UPDATE user_exchange_accounts SET is_verified = ?", False)
        with world.changes() as changes:
            told = commands.json("accounts", "verify", account.id)
        assert changes.sent == []
        assert told["exchangeUser"] == {"id": account.paper.id, "username": "Main Account"}
        assert (told["isVerified"], told["balance"], told["network"], told["problems"]) == (True, 777_000, "paper", [])
        assert told["mayRead"] == {"account": True, "runningTrades": True, "openOrders": True, "crossPosition": True}
        assert told["clockSkewSeconds"] is not None
        shown = commands.json("accounts", "show", account.id)
        assert (shown["isVerified"], shown["lastTest"]) == (True, told["testedAt"])
        text = commands("accounts", "verify", account.id).stdout
        assert "777000 sats" in text
        assert "The keys are accepted." in text

    def test_keys_that_are_refused(self, commands: Commands, world: World) -> None:
        account = world.account()
        account.paper = PaperAccount("x", "x", "wrong", "wrong", "wrong", 0)
        world.storage.run("UPDATE user_exchange_accounts SET credentials = ?", world.written(account))
        told = commands.json("accounts", "verify", account.id, code=1)
        assert (told["isVerified"], told["problems"][0]["code"]) == (False, "exchange_unauthorized")
        shown = commands.json("accounts", "show", account.id)
        assert (shown["isVerified"], shown["lastTest"]) == (False, told["testedAt"])
        assert "[exchange_unauthorized]" in commands("accounts", "verify", account.id, code=1).stderr

    def test_keys_that_may_not_read_everything(self, commands: Commands, world: World) -> None:
        account = world.account()
        world.paper.add_fault("status_before", route="GET /v3/futures/isolated/trades/running", status=403)
        told = commands.json("accounts", "verify", account.id, code=1)
        assert told["mayRead"]["runningTrades"] is False
        assert told["mayRead"]["crossPosition"] is True
        assert told["problems"][0]["code"] == "exchange_forbidden"

    def test_credentials_that_can_not_be_read(self, commands: Commands, world: World) -> None:
        account = world.account(credentials={"API Key": "00" * 16 + ":" + "11" * 16})
        told = commands.json("accounts", "verify", account.id, code=1)
        assert told["problems"][0]["code"] == "credentials_missing"

    def test_a_clock_that_is_off(self, commands: Commands, world: World) -> None:
        account = world.account()
        world.paper.settings(windowSeconds=60, clockOffsetSeconds=12)
        told = commands.json("accounts", "verify", account.id)
        assert -12.5 < told["clockSkewSeconds"] < -10
        assert told["problems"][0]["code"] == "clock_skew"

    def test_an_exchange_that_is_away_changes_nothing(self, commands: Commands, world: World) -> None:
        account = world.account()
        before = commands.json("accounts", "show", account.id)
        world.paper.add_fault("status_before", status=503)
        assert commands.error("accounts", "verify", account.id).endswith("[exchange_unavailable]\n")
        world.paper.clear_faults()
        assert commands.json("accounts", "show", account.id) == before


class TestRotate:
    @pytest.fixture
    def account(self, world: World) -> Account:
        return world.account()

    @pytest.fixture
    def renewed(self, world: World, account: Account) -> PaperAccount:
        """New keys of the same exchange user."""
        made = world.paper.add_keys(account.paper)
        assert made.key != account.paper.key
        return made

    def test_they_are_checked_written_and_used(
        self, commands: Commands, world: World, account: Account, renewed: PaperAccount
    ) -> None:
        told = commands.json("accounts", "rotate", account.id, "--keys-file", "-", given=keys_json(renewed))
        assert (told["isVerified"], told["exchangeUser"]["id"]) == (True, account.paper.id)
        assert opened(world, account.id)[0] == renewed.key
        with world.changes() as changes:
            entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100})
            assert world.run(entry)["status"] == "completed"
        assert changes.kinds == ["open"]
        assert commands.json("accounts", "show", account.id)["isVerified"]

    def test_keys_that_the_exchange_refuses_change_nothing(
        self, commands: Commands, world: World, account: Account
    ) -> None:
        wrong = PaperAccount("x", "x", "wrong-key", "wrong-secret", "wrong", 0)
        told = commands.error("accounts", "rotate", account.id, "--keys-file", "-", given=keys_json(wrong))
        assert told.endswith("[exchange_unauthorized]\n")
        assert opened(world, account.id)[0] == account.paper.key

    @pytest.mark.parametrize("may", [["trade"], ["read", "trade"]])
    def test_keys_with_too_few_rights_change_nothing(
        self, commands: Commands, world: World, account: Account, may: list[str]
    ) -> None:
        poor = world.paper.add_keys(account.paper, *may)
        if "read" in may:
            world.paper.add_fault("status_before", route="GET /v3/futures/cross/position", status=403)
        told = commands.error("accounts", "rotate", account.id, "--keys-file", "-", given=keys_json(poor))
        assert told.endswith("[exchange_forbidden]\n")
        assert opened(world, account.id)[0] == account.paper.key

    def test_keys_of_somebody_else_need_to_be_confirmed(
        self, commands: Commands, world: World, account: Account, owner: PaperAccount
    ) -> None:
        rotate = ("accounts", "rotate", account.id, "--keys-file", "-")
        assert commands.error(*rotate, given=keys_json(owner)).endswith("[other_exchange_user]\n")
        assert opened(world, account.id)[0] == account.paper.key
        told = commands.json(*rotate, "--other-user", given=keys_json(owner))
        assert told["exchangeUser"]["id"] == owner.id
        assert opened(world, account.id)[0] == owner.key

    def test_old_keys_that_are_refused_by_now_are_known_from_what_was_sent(
        self, commands: Commands, world: World, account: Account, renewed: PaperAccount, owner: PaperAccount
    ) -> None:
        world.open_trade(account)
        world.restart()
        broken = PaperAccount(account.paper.id, "x", "revoked", "revoked", "revoked", 0)
        account.paper, before = broken, account.paper
        world.storage.run("UPDATE user_exchange_accounts SET credentials = ?", world.written(account))
        rotate = ("accounts", "rotate", account.id, "--keys-file", "-")
        assert commands.error(*rotate, given=keys_json(owner)).endswith("[other_exchange_user]\n")
        assert commands.json(*rotate, given=keys_json(renewed))["exchangeUser"]["id"] == before.id

    def test_only_the_passphrase_is_replaced_while_the_breaker_is_open_for_it(
        self, commands: Commands, world: World, account: Account
    ) -> None:
        guard = world.automation(account, "margin_guard", {"action": "close_position"})
        trade_id = world.open_trade(account)
        keys = account.paper
        account.paper = PaperAccount(keys.id, keys.username, keys.key, keys.secret, "mistyped", 0)
        world.storage.run("UPDATE user_exchange_accounts SET credentials = ?", world.written(account))
        results = [world.run(guard, trade_id=trade_id) for _ in range(world.settings.breaker_refusals + 1)]
        assert results[-1]["error"]["code"] == "account_circuit_open", results
        rotate = ("accounts", "rotate", account.id, "--keys-file", "-", "--other-user")
        assert commands.json(*rotate, given=keys_json(keys))["isVerified"]
        assert commands.json("accounts", "verify", account.id)["isVerified"]

    @pytest.mark.parametrize("is_text_in_json", [True, False], ids=["text in JSON", "no JSON"])
    def test_a_column_that_holds_something_else_is_replaced_too(
        self, commands: Commands, world: World, account: Account, renewed: PaperAccount, *, is_text_in_json: bool
    ) -> None:
        broken = json.dumps(json.dumps(world.written(account))) if is_text_in_json else "no JSON"
        if not is_text_in_json and not world.storage.is_sqlite:
            world.storage.run("ALTER TABLE user_exchange_accounts ALTER credentials TYPE TEXT")
        world.storage.run("UPDATE user_exchange_accounts SET credentials = ?", broken)
        rotate = ("accounts", "rotate", account.id, "--keys-file", "-", "--other-user")
        assert commands.json(*rotate, given=keys_json(renewed))["isVerified"]
        assert opened(world, account.id)[0] == renewed.key

    def test_keys_that_somebody_else_has_replaced_meanwhile_stay(
        self,
        commands: Commands,
        world: World,
        account: Account,
        renewed: PaperAccount,
        owner: PaperAccount,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        test_new = accounts._test_new

        def meanwhile(*arguments: Any, **named: Any) -> Any:
            theirs = json.dumps(owner.credentials())
            world.storage.run("UPDATE user_exchange_accounts SET credentials = ?", theirs)
            return test_new(*arguments, **named)

        monkeypatch.setattr(accounts, "_test_new", meanwhile)
        told = commands.error("accounts", "rotate", account.id, "--keys-file", "-", given=keys_json(renewed))
        assert told.endswith("[changed_meanwhile]\n")
        assert opened(world, account.id)[0] == owner.key

    def test_where_that_can_not_be_told_it_has_to_be_confirmed(
        self, commands: Commands, world: World, account: Account, renewed: PaperAccount
    ) -> None:
        account.paper = PaperAccount("x", "x", "revoked", "revoked", "revoked", 0)
        world.storage.run("UPDATE user_exchange_accounts SET credentials = ?", world.written(account))
        rotate = ("accounts", "rotate", account.id, "--keys-file", "-")
        assert commands.error(*rotate, given=keys_json(renewed)).endswith("[exchange_user_unknown]\n")
        assert commands.json(*rotate, "--other-user", given=keys_json(renewed))["isVerified"]

    def test_without_asking_the_exchange(
        self, commands: Commands, world: World, account: Account, owner: PaperAccount
    ) -> None:
        world.paper.add_fault("status_before", status=503)
        rotate = ("accounts", "rotate", account.id, "--keys-file", "-", "--no-verify")
        assert commands.json(*rotate, given=keys_json(owner))["isVerified"] is False
        assert opened(world, account.id)[0] == owner.key
        assert commands.json("accounts", "show", account.id)["isVerified"] is False

    def test_an_exchange_that_is_away_changes_nothing(
        self, commands: Commands, world: World, account: Account, renewed: PaperAccount
    ) -> None:
        world.paper.add_fault("status_before", status=503)
        rotate = ("accounts", "rotate", account.id, "--keys-file", "-")
        assert commands.error(*rotate, given=keys_json(renewed)).endswith("[exchange_unavailable]\n")
        assert opened(world, account.id)[0] == account.paper.key

    def test_what_is_not_known_yet_is_told(
        self, commands: Commands, world: World, account: Account, owner: PaperAccount
    ) -> None:
        entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100})
        world.paper.add_fault("drop_after", mutating=True, count=1)
        assert world.run(entry)["status"] == "waiting"
        rotate = ("accounts", "rotate", account.id, "--keys-file", "-", "--other-user")
        result = commands(*rotate, given=keys_json(owner))
        assert "What became of 1 actions" in result.stderr


class TestSwitch:
    @pytest.mark.parametrize(
        ("policy", "said"),
        [("reduce-only", "entries are refused"), ("refuse", "every run is refused"), ("allow", "all of them go on")],
    )
    def test_off_says_what_that_means(self, commands: Commands, world: World, policy: str, said: str) -> None:
        account = world.account()
        world.automation(account, "auto_entry", {"side": "b", "quantity": 1})
        env = {"AXISOR_INACTIVE_ACCOUNTS": policy}
        result = commands("accounts", "disable", account.id, **env)
        assert result.stdout == f"Account {account.id} (Main Account) was switched off.\n"
        assert "1 automations" in result.stderr
        assert said in result.stderr
        assert said in commands.json("accounts", "disable", account.id, **env)["effect"]
        assert commands.json("accounts", "show", account.id)["isActive"] is False

    def test_twice_is_once(self, commands: Commands, world: World) -> None:
        account = world.account()
        assert commands.json("accounts", "disable", account.id)["changed"] is True
        assert commands.json("accounts", "disable", account.id)["changed"] is False
        assert "switched off already" in commands("accounts", "disable", account.id).stdout
        assert commands.json("accounts", "enable", account.id)["changed"] is True
        assert commands.json("accounts", "enable", account.id)["effect"] is None

    def test_a_user_has_one_active_account(self, commands: Commands, world: World) -> None:
        first, second = world.account(), world.account(name="Second", is_active=False)
        foreign = world.account("user456", "Foreign")
        told = commands.error("accounts", "enable", second.id)
        assert told.endswith("[several_active_accounts]\n")
        assert first.id in told
        done = commands.json("accounts", "enable", second.id, "--switch")
        assert done["switchedOff"] == [first.id]
        active = {one["id"] for one in commands.json("accounts", "list") if one["isActive"]}
        assert active == {second.id, foreign.id}

    @pytest.mark.parametrize("is_active", [True, False])
    def test_what_somebody_else_switches_meanwhile_is_not_missed(
        self, commands: Commands, world: World, monkeypatch: pytest.MonkeyPatch, is_active: bool
    ) -> None:
        account = world.account(is_active=is_active)
        find = accounts.find

        def meanwhile(parts: Runtime, reference: str) -> AccountRecord:
            found = find(parts, reference)
            account_rows.set_active(world.storage, account.id, not is_active)
            return found

        monkeypatch.setattr(accounts, "find", meanwhile)
        done = commands.json("accounts", "enable" if is_active else "disable", account.id)
        assert done["changed"] is True
        monkeypatch.undo()
        assert commands.json("accounts", "show", account.id)["isActive"] is is_active
