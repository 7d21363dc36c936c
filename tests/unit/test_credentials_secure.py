"""SecureCredentials show nothing, whatever they are put through."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from io import StringIO
from typing import Any

import pytest
import rich.console
import rich.pretty

from axisor_executor.credentials import SecureCredentials

CANARIES = ("canary-key", "canary-secret", "canary-passphrase")


@pytest.fixture
def credentials() -> SecureCredentials:
    return SecureCredentials(*CANARIES, testnet=True)


@dataclasses.dataclass
class Holder:
    credentials: SecureCredentials


def test_only_the_named_methods_reveal(credentials: SecureCredentials) -> None:
    assert credentials.reveal_key() == CANARIES[0]
    assert credentials.reveal_secret() == CANARIES[1]
    assert credentials.reveal_passphrase() == CANARIES[2]
    assert credentials.testnet is True


def test_no_text_form_shows_a_value(credentials: SecureCredentials) -> None:
    out = StringIO()
    console = rich.console.Console(file=out, width=400)
    console.print(rich.pretty.Pretty({"credentials": credentials, "holder": Holder(credentials)}))
    rich.inspect(credentials, console=console, all=True)
    shown = [
        repr(credentials),
        str(credentials),
        f"{credentials}",
        f"{credentials!r:>80}",
        format(credentials, "x"),
        "%s %r" % (credentials, credentials),  # noqa: UP031  this form, too
        repr(Holder(credentials)),
        repr(dataclasses.asdict(Holder(credentials))),
        json.dumps({"credentials": credentials}, default=repr),
        repr([getattr(credentials, name) for name in dir(credentials) if not name.startswith("__")]),
        out.getvalue(),
    ]
    assert not [text for text in shown for canary in CANARIES if canary in text]
    assert repr(credentials) == "SecureCredentials(<hidden>, testnet=True)"


def test_nothing_dumps_it(credentials: SecureCredentials) -> None:
    with pytest.raises(TypeError, match="__dict__"):
        vars(credentials)
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(credentials)
    with pytest.raises(TypeError, match="dataclass"):
        dataclasses.asdict(credentials)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="pickled"):
        credentials.__getstate__()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(credentials, protocol)


def test_a_copy_is_the_sealed_object_itself(credentials: SecureCredentials) -> None:
    assert copy.copy(credentials) is credentials
    assert copy.deepcopy({"a": [credentials]})["a"][0] is credentials


def test_it_is_immutable_and_has_no_hash(credentials: SecureCredentials) -> None:
    with pytest.raises(AttributeError, match="changed"):
        credentials.testnet = False
    with pytest.raises(AttributeError, match="changed"):
        del credentials.testnet
    with pytest.raises(TypeError, match="unhashable"):
        hash(credentials)


@pytest.mark.parametrize("changed", [0, 1, 2, 3])
def test_equality_compares_all_four(credentials: SecureCredentials, changed: int) -> None:
    values: list[Any] = [*CANARIES, True]
    assert credentials == SecureCredentials(*values)
    values[changed] = "ö\ud800" if changed < 3 else False
    assert credentials != SecureCredentials(*values)
    assert credentials != CANARIES


def test_the_fingerprint_is_of_the_api_key_alone_and_needs_the_pepper() -> None:
    first = SecureCredentials("key", "secret", "passphrase").fingerprint(b"pepper")
    assert first == SecureCredentials("key", "other", "other", testnet=True).fingerprint(b"pepper")
    assert first != SecureCredentials("key", "secret", "passphrase").fingerprint(b"salt")
    assert first != SecureCredentials("kez", "secret", "passphrase").fingerprint(b"pepper")
    assert len(first) == 16
    assert int(first, 16) >= 0
    with pytest.raises(ValueError, match="pepper"):
        SecureCredentials("key", "secret", "passphrase").fingerprint(b"")


def test_the_digest_is_of_all_four_and_needs_the_pepper() -> None:
    whole = ("key", "secret", "passphrase", False)
    others = [
        ("kez", *whole[1:]),
        ("key", "secres", *whole[2:]),
        ("key", "secret", "passphrasf", False),
        (*whole[:3], True),
        ("keys", "ecret", *whole[2:]),
        ("secret", "key", *whole[2:]),
    ]
    first = SecureCredentials(*whole).digest(b"pepper")
    assert first == SecureCredentials(*whole).digest(b"pepper")
    digests = {first, *(SecureCredentials(*other).digest(b"pepper") for other in others)}
    assert len({*digests, SecureCredentials(*whole).digest(b"salt")}) == 8
    assert len(first) == 16
    with pytest.raises(ValueError, match="pepper"):
        SecureCredentials(*whole).digest(b"")
