"""No failure shows a secret: not in its message, its chain, nor in the locals of its traceback.

The rows stand in module globals: a test's own locals would be in the traceback, and are not what is tested.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from io import StringIO

import pytest
import rich.console
import rich.traceback
import structlog.tracebacks
from pydantic import SecretStr

from axisor_executor.credentials import (
    CredentialCache,
    Field,
    KeyRing,
    SecureCredentials,
    Vault,
    write_credentials,
)
from axisor_executor.credentials.ciphers import scrypt_key
from axisor_executor.errors import AxisorError

# Put together at run time, so that a traceback's lines of source don't show them.
MARK = "".join(reversed("yranac"))
KEY, SECRET, PASSPHRASE = (f"{MARK}-{name}" for name in ("k", "s", "p"))
RING_KEY, OTHER_KEY = (SecretStr(f"{MARK}-{name}") for name in ("ring", "other"))
RING, OTHER = KeyRing([RING_KEY]), KeyRing([OTHER_KEY])


def vault(ring: KeyRing) -> Vault:
    return Vault(ring, CredentialCache())


def written(ring: KeyRing, **changed: str) -> dict[str, str]:
    row = write_credentials(KEY, SECRET, PASSPHRASE, False, account_id="acc1", format="sealed", ring=ring)
    return {**row, **{name.replace("_", " "): value for name, value in changed.items()}}


def monolith(ring: KeyRing, field: Field) -> str:
    return ring.encrypt(SecretStr(f"{MARK}-{field}"), format="monolith", account_id="acc1", field=field)


SEALED = written(RING)
MIXED = written(RING, Passphrase=monolith(OTHER, "passphrase"))
PLAIN = {"API Key": KEY, "API Secret": SECRET, "Passphrase": PASSPHRASE}
OLD = {"API Key": monolith(RING, "key"), "API Secret": monolith(RING, "secret"), "Passphrase": PASSPHRASE}


def failing_load() -> SecureCredentials:
    raise RuntimeError("the database went away")


FAILURES: dict[str, Callable[[], object]] = {
    "wrong key, monolith": lambda: vault(OTHER).credentials_for("user1", "acc1", OLD),
    "wrong key, sealed": lambda: vault(OTHER).credentials_for("user1", "acc1", SEALED),
    "no key": lambda: vault(KeyRing([])).credentials_for("user1", "acc1", OLD),
    "moved to another account": lambda: vault(RING).credentials_for("user1", "acc2", SEALED),
    "altered": lambda: vault(RING).credentials_for("user1", "acc1", {**SEALED, "API Key": SEALED["API Key"][:-9]}),
    "the last of three fails": lambda: vault(RING).credentials_for("user1", "acc1", MIXED),
    "plain text, one missing": lambda: vault(RING).credentials_for("user1", "acc1", {**PLAIN, "API Secret": ""}),
    "plain text, no JSON": lambda: vault(RING).credentials_for("user1", "acc1", str(PLAIN)),
    "plain text, bad flag": lambda: vault(RING).credentials_for("user1", "acc1", {**PLAIN, "testnet": SECRET}),
    "plain text, a list": lambda: vault(RING).credentials_for("user1", "acc1", json.dumps([PLAIN])),
    "plain text, nested": lambda: vault(RING).credentials_for("user1", "acc1", {**PLAIN, "apiKey": [SECRET]}),
    "control characters": lambda: vault(RING).credentials_for("user1", "acc1", {**PLAIN, "API Key": f"{KEY}\n{KEY}"}),
    "cache, broken row": lambda: CredentialCache().get("user1", "acc1", f"[{SECRET}", failing_load),
    "cache, failing load": lambda: CredentialCache().get("user1", "acc1", PLAIN, failing_load),
    "write, blank": lambda: write_credentials(KEY, SECRET, " ", False, account_id="acc1", format="sealed", ring=RING),
    "write, control characters": lambda: write_credentials(
        KEY, f"{SECRET}\x00", PASSPHRASE, False, account_id="acc1", format="monolith", ring=RING
    ),
    "write, no key": lambda: write_credentials(
        KEY, SECRET, PASSPHRASE, False, account_id="acc1", format="sealed", ring=KeyRing([])
    ),
}


def failure(name: str) -> Exception:
    try:
        FAILURES[name]()
    except Exception as error:  # noqa: BLE001  whatever it is, it is looked at
        return error
    raise AssertionError(f"{name}: nothing was raised")


def everything_shown(error: BaseException) -> str:
    out = StringIO()
    console = rich.console.Console(file=out, width=1000)
    frames = rich.traceback.Traceback.from_exception(
        type(error),
        error,
        error.__traceback__,
        show_locals=True,
        locals_max_length=1000,
        locals_max_string=100_000,
        locals_hide_dunder=False,
        locals_hide_sunder=False,
    )
    console.print(frames)
    structured = structlog.tracebacks.ExceptionDictTransformer(locals_max_string=100_000, locals_max_length=1000)
    parts = [
        out.getvalue(),
        "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()),
        repr(structured((type(error), error, error.__traceback__))),
        repr(vars(error)),
    ]
    if isinstance(error, AxisorError):
        parts.append(json.dumps(error.as_dict()))
    return "\n".join(parts)


@pytest.mark.parametrize("name", FAILURES)
def test_no_failure_shows_a_secret(name: str) -> None:
    error = failure(name)
    shown = everything_shown(error)
    assert "credentials_for" in shown or "get(" in shown or "write_credentials" in shown, "the frames are there"
    assert "account_id" in shown, "and so are their locals"
    assert MARK not in shown
    derived = [scrypt_key(RING_KEY), scrypt_key(OTHER_KEY)]
    assert not [key for key in derived if repr(key) in shown or key.hex() in shown]
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.parametrize("name", [name for name in FAILURES if "key" in name or "altered" in name])
def test_no_message_shows_a_ciphertext(name: str) -> None:
    error = failure(name)
    ciphertexts = [*SEALED.values(), *OLD.values(), MIXED["Passphrase"]]
    parts = [part for value in ciphertexts for part in value.split(":") if len(part) > 8]
    assert not [part for part in parts if part in f"{error!r} {vars(error)}"]


def test_the_canary_would_be_seen() -> None:
    def careless() -> None:
        secret = SECRET
        raise RuntimeError(len(secret))

    with pytest.raises(RuntimeError) as caught:
        careless()
    assert everything_shown(caught.value).count(MARK) >= 3
