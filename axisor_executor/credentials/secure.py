"""Credentials that never show themselves."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any, NoReturn, final

LONGEST = 512
"""Characters of a key, a secret or a passphrase, at most: several times what exchanges give out.

They are sent with every request and searched for in every error answer: an endless one would keep a worker, and the
exchange's server, from all other accounts.
"""
_SECRETS = ("key", "secret", "passphrase")


@final
class SecureCredentials:
    """The three secrets of one exchange account, readable only through the ``reveal_`` methods.

    Text forms, dumps, copies and debuggers' views of locals show nothing of them; pickling and hashing are refused
    with a ``TypeError``, a copy is the object itself. Call ``reveal_`` where the value is used and give it no name:
    a local variable would stand in a traceback's locals.

    Attributes:
        testnet: whether the keys belong to the exchange's test network.
    """

    # The values are kept in a closure: no slot, no ``__dict__`` and no ``__getstate__`` leads to them.
    __slots__ = ("__weakref__", "_reveal", "testnet")

    testnet: bool
    _reveal: Callable[[str], str]

    def __init__(self, key: str, secret: str, passphrase: str, testnet: bool = False) -> None:
        values = {"key": key, "secret": secret, "passphrase": passphrase}
        object.__setattr__(self, "_reveal", lambda name: values[name])
        object.__setattr__(self, "testnet", testnet)

    def reveal_key(self) -> str:
        """Return the API key."""
        return self._reveal("key")

    def reveal_secret(self) -> str:
        """Return the API secret, with which requests are signed."""
        return self._reveal("secret")

    def reveal_passphrase(self) -> str:
        """Return the passphrase."""
        return self._reveal("passphrase")

    def unusable(self) -> list[str]:
        """Return the names of those that are blank, too long or can't be sent: key and passphrase are headers."""
        unusable = []
        if not _is_header_text(self._reveal("key")):
            unusable.append("API Key")
        if not _is_text(self._reveal("secret")):
            unusable.append("API Secret")
        if not _is_header_text(self._reveal("passphrase")):
            unusable.append("Passphrase")
        return unusable

    def fingerprint(self, pepper: bytes) -> str:
        """Return 16 hex digits that tell whether two API keys are the same, and nothing else.

        HMAC-SHA256 of the API key under ``pepper``, cut to 64 bits: without the pepper, a guess can't be checked.

        Raises:
            ValueError: the pepper is empty.
        """
        if not pepper:
            raise ValueError("the fingerprint of an API key needs a pepper")
        return hmac.new(pepper, _bytes(self._reveal("key")), hashlib.sha256).hexdigest()[:16]

    def digest(self, pepper: bytes) -> str:
        """Return 16 hex digits that tell whether two credentials are the same in all that they are, and nothing else.

        As :meth:`fingerprint`, of the three secrets and the network.

        Raises:
            ValueError: the pepper is empty.
        """
        if not pepper:
            raise ValueError("the digest of credentials needs a pepper")
        each = [hmac.digest(pepper, _bytes(self._reveal(name)), hashlib.sha256) for name in _SECRETS]
        return hmac.new(pepper, b"".join((*each, bytes([self.testnet]))), hashlib.sha256).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecureCredentials):
            return NotImplemented
        same = self.testnet == other.testnet
        for name in _SECRETS:  # all of them, so that the time tells nothing
            same &= hmac.compare_digest(_bytes(self._reveal(name)), _bytes(other._reveal(name)))
        return same

    __hash__ = None  # type: ignore[assignment]  # a hash of a secret is a way to test guesses

    def __repr__(self) -> str:
        return f"SecureCredentials(<hidden>, testnet={self.testnet})"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __copy__(self) -> SecureCredentials:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SecureCredentials:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("credentials can't be pickled")

    def __getstate__(self) -> NoReturn:
        raise TypeError("credentials can't be pickled")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("credentials can't be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("credentials can't be changed")


def _is_header_text(value: str) -> bool:
    return _is_text(value) and value == value.strip() and max(value) <= "\xff"


def _is_text(value: str) -> bool:
    return len(value) <= LONGEST and value.isprintable() and bool(value.strip())


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
