"""All credentials written anew while everything runs: nobody's change is overwritten, and no access is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from axisor_executor import enqueue, execute, get_result, get_user_credentials
from axisor_executor.credentials import Format, KeyRing, StoredCredentials
from axisor_executor.credentials import rotation as rotating
from axisor_executor.credentials.census import AccountRow as Row
from axisor_executor.credentials.census import Census, Standing, take_census
from axisor_executor.credentials.rotation import Ending, Rotation, Target, check_readers, rotate
from axisor_executor.errors import AxisorError
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.models import AccountRow
from tests.harness.world import ENCRYPTION_KEY, Account, World

NEW_KEY = SecretStr("canary-new-key-77aa")
RING = KeyRing([NEW_KEY, SecretStr(ENCRYPTION_KEY)])
NEW, OLD = RING.newest(), KeyRing([SecretStr(ENCRYPTION_KEY)])
(NEW_ID, OLD_ID) = RING.key_ids
ENTRY = {"side": "b", "quantity": 100}


def stored(world: World, account: Account) -> dict[str, Any]:
    with world.storage.connection():
        found = AccountRow.get_by_id(account.id).credentials
    assert isinstance(found, dict)
    return found


def put(storage: Storage, account: Account, credentials: dict[str, Any]) -> None:
    storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", credentials, account.id)


def reads(world: World, account: Account, ring: KeyRing) -> bool:
    opened = StoredCredentials(stored(world, account), account_id=account.id).open(ring)
    keys = account.paper
    return (opened.reveal_key(), opened.reveal_secret(), opened.reveal_passphrase()) == (
        keys.key,
        keys.secret,
        keys.passphrase,
    )


def formats(world: World, account: Account) -> set[str]:
    names = ("API Key", "API Secret", "Passphrase")
    return {"sealed" if stored(world, account)[name].startswith("axs1:") else "monolith" for name in names}


def go(world: World, format_: Format = "monolith", **more: Any) -> Rotation:
    with world.storage.connection():
        return rotate(world.storage, RING, Target(NEW_ID, format_, **more))


@pytest.mark.parametrize("before", ["monolith", "sealed"])
@pytest.mark.parametrize("after", ["monolith", "sealed"])
def test_from_any_format_to_any(world: World, before: Format, after: Format) -> None:
    accounts = [world.account(f"u{number}", f"Account {number}", format=before) for number in range(3)]
    done = go(world, after)
    assert (done.rotated, done.skipped, done.is_complete) == (3, 0, True)
    for account in accounts:
        assert reads(world, account, NEW)
        assert formats(world, account) == {after}
        assert stored(world, account)["isTestnet"] == "false"


def test_a_second_time_there_is_nothing_to_do(world: World) -> None:
    account = world.account()
    go(world)
    before = stored(world, account)
    again = go(world)
    assert (again.rotated, again.skipped) == (0, 1)
    assert stored(world, account) == before


def test_more_rows_than_a_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from axisor_executor.storage import paging

    monkeypatch.setattr(paging.paged, "__kwdefaults__", {"page_rows": 2})
    accounts = [world.account(f"u{number}", f"Account {number}") for number in range(5)]
    assert go(world).rotated == 5
    assert all(reads(world, account, NEW) for account in accounts)


def test_what_is_no_secret_and_how_it_is_spelt_stays(world: World) -> None:
    account = world.account()
    keys, note = world.written(account), {"note": "é\n", "limits": [1, 2.5, None]}
    odd = {"api_key": keys["API Key"], "apiSecret": keys["API Secret"], "passphrase": keys["Passphrase"], **note}
    put(world.storage, account, odd)
    go(world)
    after = stored(world, account)
    assert after.keys() == odd.keys()
    assert {name: after[name] for name in note} == note
    assert reads(world, account, NEW)


def test_a_text_within_json_stays_one(world: World) -> None:
    account = world.account()
    nested = json.dumps(json.dumps(world.written(account)))
    world.storage.run("UPDATE user_exchange_accounts SET credentials = ?", nested)
    assert go(world).rotated == 1
    row = world.storage.one("SELECT CAST(credentials AS TEXT) FROM user_exchange_accounts")
    assert row is not None
    inner = json.loads(row[0])
    assert isinstance(inner, str)
    assert StoredCredentials(inner, account_id=account.id).open(NEW).reveal_key() == account.paper.key


class TestPlainText:
    def plain(self, world: World) -> Account:
        account = world.account()
        keys = account.paper
        row = {"API Key": keys.key, "API Secret": keys.secret, "Passphrase": world.written(account)["Passphrase"]}
        put(world.storage, account, row)
        return account

    def test_it_is_encrypted(self, world: World) -> None:
        account = self.plain(world)
        assert take_census(world.storage, RING).plain_text == 1
        assert go(world).rotated == 1
        assert reads(world, account, NEW)
        assert StoredCredentials(stored(world, account), account_id=account.id).warnings == ()
        assert take_census(world.storage, RING).plain_text == 0

    def test_or_left_and_the_rest_is_rotated(self, world: World) -> None:
        account = self.plain(world)
        assert go(world, encrypts_plain_text=False).rotated == 1
        assert stored(world, account)["API Key"] == account.paper.key
        assert reads(world, account, NEW)
        assert go(world, encrypts_plain_text=False).skipped == 1

    @pytest.mark.parametrize("column", ["json", "jsonb", "text"])
    def test_what_is_left_is_in_no_statement(
        self, world: World, caplog: pytest.LogCaptureFixture, *, column: str
    ) -> None:
        if not world.storage.is_sqlite:
            world.storage.run(
                f"ALTER TABLE user_exchange_accounts ALTER credentials TYPE {column} USING credentials::text::{column}"
            )
        account = self.plain(world)
        caplog.set_level("DEBUG", logger="peewee")
        caplog.clear()
        assert go(world, "sealed", encrypts_plain_text=False).rotated == 1
        said = "\n".join(record.getMessage() for record in caplog.records)
        assert "UPDATE user_exchange_accounts SET credentials" in said
        assert [one for one in (account.paper.key, account.paper.secret) if one in said] == []
        opened = StoredCredentials(stored(world, account), account_id=account.id).open(NEW)
        assert opened.reveal_passphrase() == account.paper.passphrase

    @pytest.mark.parametrize("name", ["API Secret", "API Key (backup)"])
    def test_a_row_that_can_not_be_written_so_is_listed_and_the_others_go_on(self, world: World, name: str) -> None:
        odd, *others = (world.account(f"u{number}", f"Account {number}") for number in range(3))
        keys = world.written(odd)
        put(world.storage, odd, {**keys, name: keys["API Key"]})
        before = stored(world, odd)
        done = go(world, "sealed", encrypts_plain_text=False)
        assert (done.rotated, done.unreadable.count) == (len(others), 1)
        assert stored(world, odd) == before

    def test_nor_in_a_text_within_json(self, world: World) -> None:
        account = self.plain(world)
        nested = json.dumps(json.dumps(stored(world, account)))
        world.storage.run("UPDATE user_exchange_accounts SET credentials = ?", nested)
        assert go(world, encrypts_plain_text=False).rotated == 1
        row = world.storage.one("SELECT CAST(credentials AS TEXT) FROM user_exchange_accounts")
        assert row is not None
        opened = StoredCredentials(row[0], account_id=account.id).open(NEW)
        assert (opened.reveal_key(), opened.reveal_passphrase()) == (account.paper.key, account.paper.passphrase)


def test_what_cant_be_read_is_listed_and_left_alone(world: World) -> None:
    good = world.account("u1", "Good")
    lost = world.account("u2", "Lost")
    stranger = KeyRing([SecretStr("nobody's")]).encrypt(
        SecretStr("s"), format="sealed", account_id=lost.id, field="secret"
    )
    put(world.storage, lost, {**world.written(lost), "API Secret": stranger})
    bare = world.account("u3", "Bare", credentials={})
    before = stored(world, lost)
    done = go(world)
    assert (done.rotated, done.skipped, done.is_complete) == (1, 1, False)
    assert [one.account_id for one in done.unreadable.first] == [lost.id]
    assert "key that is not given" in done.unreadable.first[0].message
    assert stored(world, lost) == before
    assert reads(world, good, NEW)
    assert stored(world, bare) == {}


def test_the_census_counts_without_changing(world: World) -> None:
    kept = [world.account("u1", "A"), world.account("u2", "B", format="sealed"), world.account("u3", credentials={})]
    before = [stored(world, account) for account in kept]
    census = take_census(world.storage, RING)
    assert (census.accounts, census.without, census.unreadable.count) == (3, 1, 0)
    assert census.makeups[frozenset({Standing("monolith", OLD_ID)})] == 1
    assert Target(NEW_ID, "sealed").to_do(census) == 2
    assert Target(OLD_ID, "sealed").to_do(census) == 1
    assert [stored(world, account) for account in kept] == before


class TestSomebodyElse:
    """Rows that change between the moment they were read and the moment they are written."""

    @pytest.fixture
    def meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
        """Have something happen each time after a row was opened and before it is written."""

        def during(act: Callable[[], None]) -> None:
            replace = rotating._replace

            def late(*arguments: Any) -> bool:
                act()
                return replace(*arguments)

            monkeypatch.setattr(rotating, "_replace", late)
            monkeypatch.setattr(rotating, "PAUSE_SECONDS", 0.001)

        return during

    def test_a_change_is_never_overwritten(self, world: World, meanwhile: Any) -> None:
        account, other = world.account(), world.account("u2", "Other")
        changed = world.written(other)
        changes = iter([lambda: put(world.storage, account, {**changed, "note": "theirs"})])
        meanwhile(lambda: next(changes, lambda: None)())
        world.storage.run("DELETE FROM user_exchange_accounts WHERE id = ?", other.id)
        assert go(world).rotated == 1
        assert stored(world, account)["note"] == "theirs"
        opened = StoredCredentials(stored(world, account), account_id=account.id).open(NEW)
        assert opened.reveal_key() == other.paper.key

    def test_one_that_keeps_changing_is_left(self, world: World, meanwhile: Any) -> None:
        account = world.account()
        meanwhile(lambda: put(world.storage, account, world.written(account)))
        done = go(world)
        assert (done.rotated, [one.account_id for one in done.busy.first]) == (0, [account.id])
        assert not done.is_complete
        assert reads(world, account, OLD)

    def test_one_that_is_deleted_is_none(self, world: World, meanwhile: Any) -> None:
        world.account()
        meanwhile(lambda: world.storage.run("DELETE FROM user_exchange_accounts") and None)
        done = go(world)
        assert (done.rotated, done.skipped, done.is_complete) == (0, 1, True)

    @pytest.mark.parametrize("database_url", ["postgres"], indirect=True)  # SQLite locks the file, and is waited for
    def test_one_that_is_locked_is_not_waited_for(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rotating, "PAUSE_SECONDS", 0.001)
        locked, free = world.account(), world.account("u2", "Free")
        holds, may_go = threading.Event(), threading.Event()

        def hold() -> None:
            with world.storage.write():
                world.storage.run("SELECT 1 FROM user_exchange_accounts WHERE id = ? FOR UPDATE", locked.id)
                holds.set()
                may_go.wait(30)

        holder = threading.Thread(target=hold)
        holder.start()
        try:
            assert holds.wait(10)
            done = go(world)
        finally:
            may_go.set()
            holder.join()
        assert [one.account_id for one in done.busy.first] == [locked.id]
        assert reads(world, free, NEW)
        assert go(world).rotated == 1

    def test_two_rotations_at_once(self, world: World) -> None:
        accounts = [world.account(f"u{number}", f"Account {number}") for number in range(12)]
        done: list[Rotation] = []
        threads = [threading.Thread(target=lambda: done.append(go(world))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(one.rotated for one in done) + sum(one.busy.count for one in done) <= 12
        assert go(world).is_complete
        assert all(reads(world, account, NEW) for account in accounts)


class TestInterrupted:
    def test_it_goes_on_where_it_was(self, world: World) -> None:
        accounts = [world.account(f"u{number}", f"Account {number}") for number in range(5)]

        class PowerCut(BaseException):
            pass

        seen: list[str] = []

        def cut(row: Row, ending: Ending) -> None:
            seen.append(row.id)
            if len(seen) == 2:
                raise PowerCut

        with pytest.raises(PowerCut), world.storage.connection():
            rotate(world.storage, RING, Target(NEW_ID, "sealed"), cut)
        assert all(reads(world, account, RING) for account in accounts), "readable all the time"
        assert sum(formats(world, account) == {"sealed"} for account in accounts) == 2
        done = go(world, "sealed")
        assert (done.rotated, done.skipped) == (3, 2)

    def test_what_does_not_read_back_is_rolled_back(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A cipher that writes garbage, or a trigger that changes what is written."""
        account = world.account()
        before = stored(world, account)
        broken = KeyRing([NEW_KEY])
        monkeypatch.setattr(KeyRing, "newest", lambda _: broken)
        encrypt = KeyRing.encrypt
        monkeypatch.setattr(
            KeyRing, "encrypt", lambda ring, text, **more: encrypt(ring, SecretStr("something else"), **more)
        )
        with pytest.raises(AxisorError) as failure:
            go(world)
        assert (failure.value.code, failure.value.account_id) == ("rotation_failed", account.id)
        assert stored(world, account) == before


class TestTheMonolith:
    """It reads its own format, with ENCRYPTION_KEY, and nothing else."""

    def census(self, *makeup: Standing) -> Census:
        found = Census()
        found.makeups[frozenset(makeup)] = 1
        return found

    @pytest.mark.parametrize(
        ("standing", "target", "ours", "monoliths", "refused"),
        [
            (Standing("monolith", "old"), "sealed", False, "new", True),
            (Standing("monolith", "old"), "sealed", True, "new", True),
            (Standing("sealed", "old"), "sealed", True, "old", False),
            (Standing("sealed", "old"), "sealed", False, "old", True),
            (Standing(None, None), "sealed", True, "old", False),
            (Standing("monolith", "old"), "monolith", False, "old", True),
            (Standing("monolith", "old"), "monolith", False, None, True),
            (Standing("monolith", "old"), "monolith", False, "new", False),
            (Standing("monolith", "old"), "monolith", True, "old", False),
            (Standing("sealed", "old"), "monolith", False, "new", False),
        ],
    )
    def test_what_it_could_not_read_needs_a_word(
        self, standing: Standing, target: Format, ours: bool, monoliths: str | None, refused: bool
    ) -> None:
        def check(*, monolith_reads: bool) -> None:
            check_readers(
                self.census(standing),
                Target("new", target),
                ours=ours,
                monoliths_key_id=monoliths,
                monolith_reads=monolith_reads,
            )

        check(monolith_reads=False)
        if refused:
            with pytest.raises(AxisorError, match="nothing was changed"):
                check(monolith_reads=True)
        else:
            check(monolith_reads=True)


class TestWhileItRuns:
    @pytest.mark.slow
    def test_no_job_of_a_real_worker_fails(self, world: World, tmp_path: Path) -> None:
        """Jobs go on for four accounts while their rows are rotated there and back, three times each."""
        world.restart(encryption_keys=(NEW_KEY, SecretStr(ENCRYPTION_KEY)))
        accounts = [world.account(f"user{number}", f"Account {number}") for number in range(4)]
        entries = [world.automation(account, "auto_entry", ENTRY) for account in accounts]
        keys = f"{NEW_KEY.get_secret_value()},{ENCRYPTION_KEY}"
        back = KeyRing([SecretStr(ENCRYPTION_KEY), NEW_KEY])
        jobs: list[str] = []

        def bring() -> None:
            for account, entry in zip(accounts, entries, strict=True):
                jobs.append(enqueue(world.job(entry, user_id=account.user_id)))

        with world.worker(tmp_path / "worker.log", AXISOR_ENCRYPTION_KEYS=keys), world.changes() as changes:
            for _ in range(3):
                for ring, key_id, format_ in ((RING, NEW_ID, "sealed"), (back, OLD_ID, "monolith")):
                    bring()
                    with world.storage.connection():
                        done = rotate(
                            world.storage, ring, Target(key_id, format_), lambda *_: bring() if len(jobs) < 60 else None
                        )
                    assert (done.rotated, done.is_complete) == (4, True)
            results = [get_result(one, wait=60) for one in jobs]
        assert {result["status"] for result in results} == {"completed"}, results
        assert len(changes.effects) == len(jobs)
        for account in accounts:
            assert changes.effects.count((account.name, "open")) == jobs_of(results, account)

    def test_this_process_goes_on_with_what_it_had_in_its_cache(self, world: World) -> None:
        world.restart(encryption_keys=(NEW_KEY, SecretStr(ENCRYPTION_KEY)))
        account = world.account()
        entry = world.automation(account, "auto_entry", ENTRY)
        assert execute(world.job(entry))["status"] == "completed"
        go(world, "sealed")
        assert execute(world.job(entry))["status"] == "completed"
        assert get_user_credentials(account.user_id).reveal_key() == account.paper.key


def jobs_of(results: list[dict[str, Any]], account: Account) -> int:
    return sum(result["accountId"] == account.id for result in results)


class TestTheEndOfARotation:
    """The old key is taken away: the pepper of the keys' fingerprints changes with it."""

    def test_an_outcome_that_was_unknown_is_still_looked_up(self, world: World) -> None:
        world.paper.settings(windowSeconds=2)
        quick: dict[str, Any] = {"signature_window_seconds": 2, "signature_margin_seconds": 0.5}
        world.restart(encryption_keys=(NEW_KEY, SecretStr(ENCRYPTION_KEY)), **quick)
        account = world.account()
        entry = world.automation(account, "auto_entry", ENTRY)
        route = "POST /v3/futures/isolated/trade"
        world.paper.add_fault("drop_after", route=route, count=1)
        with world.changes() as changes:
            waiting = execute(world.job(entry))
            assert (waiting["status"], waiting["waitingFor"]) == ("waiting", "reconcile")
            (action,) = world.actions(waiting["executionId"])
            before = action.key_fingerprint
            go(world)
            world.restart(encryption_keys=(), encryption_key=NEW_KEY)
            result = world.settle(waiting["executionId"])
        assert result["status"] == "completed", result
        assert changes.kinds == ["open"]
        again = execute(world.job(entry))
        assert again["status"] == "completed"
        (action,) = world.actions(again["executionId"])
        assert action.key_fingerprint != before, "so fingerprints from before and after can't be compared"
