"""Tokens: proven by 256 bits, kept as a digest, ended at once."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axisor_executor.errors import AxisorError, NotFound
from axisor_executor.storage import tokens
from axisor_executor.storage.models import TokenRow
from axisor_executor.storage.tokens import Token
from tests.harness.world import World


def refused(world: World, text: str) -> bool:
    with pytest.raises(AxisorError) as caught:
        tokens.check(world.storage, text)
    assert (caught.value.status, caught.value.code) == (401, "unauthenticated")
    return True


def row(world: World, token: Token) -> TokenRow:
    with world.storage.connection():
        return TokenRow.get_by_id(token.id)


def test_a_token_is_who_it_was_made_for(world: World) -> None:
    text, made = tokens.create(world.storage, "monolith", ["operate", "read"], user_id="user123")
    found = tokens.check(world.storage, text)
    assert (found.id, found.name, found.user_id) == (made.id, "monolith", "user123")
    assert found.scopes == ("read", "operate")
    assert made.expires_at is None
    assert made.last_used_at is None


def test_its_user_is_one_that_jobs_can_have(world: World) -> None:
    assert tokens.create(world.storage, "one", ["read"], user_id=" user123\n")[1].user_id == "user123"


def test_the_database_does_not_hold_it(world: World) -> None:
    text, made = tokens.create(world.storage, "monolith", ["read"])
    (kept,) = world.storage.rows("SELECT * FROM axisor_tokens")
    secret = text.split("_", 2)[2]
    assert secret not in str(kept)
    assert secret not in repr(made)
    assert len(secret) == 43, "256 bits"


def test_no_two_are_alike(world: World) -> None:
    assert len({tokens.create(world.storage, "one", ["read"])[0] for _ in range(20)}) == 20


def test_a_wrong_secret_is_refused(world: World) -> None:
    text, _ = tokens.create(world.storage, "one", ["read"])
    other, _ = tokens.create(world.storage, "other", ["read"])
    last = "A" if text[-1] != "A" else "B"
    assert refused(world, text[:-1] + last)
    assert refused(world, text[:23] + other[23:]), "the id of one with the secret of the other"
    assert refused(world, f"{text} ")
    assert refused(world, text.upper())


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.text(), st.from_regex(r"\Aaxisor_[0-9a-f]{16}_[A-Za-z0-9_-]{43}\Z")))
def test_no_other_text_is_one(world: World, text: str) -> None:
    assert refused(world, text)


def test_digests_are_compared_in_constant_time_even_for_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(tokens, "hmac", type("Hmac", (), {"compare_digest": staticmethod(compare)}))
    text, _ = tokens.create(world.storage, "one", ["read"])
    tokens.check(world.storage, text)
    refused(world, f"axisor_{'0' * 16}_{'A' * 43}")
    refused(world, "nonsense")
    assert [len(one) == len(other) == 64 for one, other in compared] == [True] * 3


def test_a_revoked_token_is_refused_at_once(world: World) -> None:
    text, made = tokens.create(world.storage, "one", ["read"])
    tokens.check(world.storage, text)
    first = tokens.revoke(world.storage, made.id)
    assert refused(world, text)
    assert tokens.revoke(world.storage, made.id) == first, "once more changes nothing"


def test_what_is_not_there_can_not_be_revoked(world: World) -> None:
    with pytest.raises(NotFound) as caught:
        tokens.revoke(world.storage, "0" * 16)
    assert caught.value.code == "token_not_found"


def test_an_expired_token_is_refused(world: World) -> None:
    text, made = tokens.create(world.storage, "one", ["read"], days=1)
    tokens.check(world.storage, text)
    world.storage.run("UPDATE axisor_tokens SET expires_at = {later} WHERE id = ?", -1, made.id)
    assert refused(world, text)


def test_the_end_is_counted_in_days(world: World) -> None:
    _, made = tokens.create(world.storage, "one", ["read"], days=0.5)
    assert made.expires_at is not None
    assert abs((made.expires_at - made.created_at).total_seconds() - 43_200) < 5


def test_the_last_use_is_noted_once_a_minute(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    text, made = tokens.create(world.storage, "one", ["read"])
    tokens.check(world.storage, text)
    noted = row(world, made).last_used_at
    assert noted is not None
    written: list[str] = []
    monkeypatch.setattr(world.storage, "run", lambda sql, *_: written.append(sql) or 1)
    for _ in range(5):
        tokens.check(world.storage, text)
    assert written == []
    monkeypatch.undo()
    world.storage.run("UPDATE axisor_tokens SET last_used_at = {later} WHERE id = ?", -61, made.id)
    tokens.check(world.storage, text)
    again = row(world, made).last_used_at
    assert again is not None
    assert again >= noted


def test_all_are_listed_oldest_first(world: World) -> None:
    made = [tokens.create(world.storage, name, ["read"])[1] for name in ("b", "a")]
    with world.storage.connection():
        assert {one.id for one in tokens.listed(world.storage)} == {one.id for one in made}


@pytest.mark.parametrize("user", ["", " ", "\t"])
def test_a_blank_user_is_no_binding(world: World, user: str) -> None:
    """As from a shell's variable that is not set: what is meant to be bound must not see everything."""
    with pytest.raises(AxisorError) as caught:
        tokens.create(world.storage, "one", ["read"], user_id=user)
    assert caught.value.code == "invalid_request"
    assert tokens.listed(world.storage) == []


@pytest.mark.parametrize("name", ["", " ", "\t"])
def test_a_blank_name_is_none(world: World, name: str) -> None:
    with pytest.raises(AxisorError, match="the name of a token") as caught:
        tokens.create(world.storage, name, ["read"])
    assert caught.value.code == "invalid_request"
    assert tokens.listed(world.storage) == []
