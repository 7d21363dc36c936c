"""The two formats in which a credential stands in a row.

``monolith``: ``hex(iv):hex(ciphertext)``, AES-256-CBC with PKCS#7, as the monolith writes with Node's ``crypto``. It
has no authentication: any value decrypts to something under any key, and a ciphertext fits every row.

``sealed``: ``axs1:<key id>:<base64url of nonce, ciphertext and tag>``, AES-256-GCM, with the account's id and the
field's name as associated data: a value that was altered, or moved to another account's row or another field, fails.

Nothing here raises on a bad value, and plain text leaves only as a :class:`pydantic.SecretStr`: an exception of the
cryptography would carry frames whose locals are secrets.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7
from pydantic import SecretStr

Format = Literal["monolith", "sealed"]
Field = Literal["key", "secret", "passphrase"]

_BLOCK = 16
_NONCE = 12
_HEX_PAIR = re.compile(r"[0-9a-fA-F]{16,}:[0-9a-fA-F]*")
_MONOLITH = re.compile(r"[0-9a-fA-F]{32}:(?:[0-9a-fA-F]{32})+")
_ANY_SEALED = re.compile(r"axs\d+:.*", re.DOTALL)
_SEALED = re.compile(r"axs1:(?P<key_id>[0-9a-f]{8}):(?P<box>[A-Za-z0-9_-]+)")


def format_of(value: str) -> Format | None:
    """Return the format that ``value`` appears to be in, damaged ones included; None for plain text."""
    if _ANY_SEALED.fullmatch(value):
        return "sealed"
    return "monolith" if _HEX_PAIR.fullmatch(value) else None


def key_id_of(value: str) -> str | None:
    """Return the id of the key that sealed ``value``; None if it is not in the ``sealed`` format."""
    match = _SEALED.fullmatch(value)
    return match["key_id"] if match else None


def is_credential(text: str) -> bool:
    """Tell whether ``text`` could be a credential: no control characters, no halves of surrogate pairs.

    ``str.isprintable`` is stricter, but its answer for newer characters depends on the version of Python.
    """
    return all(unicodedata.category(letter) not in {"Cc", "Cs"} for letter in text)


def scrypt_key(encryption_key: SecretStr) -> bytes:
    """Derive 32 bytes from the text of an encryption key, as Node's ``scryptSync(key, "salt", 32)`` does."""
    kdf = Scrypt(salt=b"salt", n=16_384, r=8, p=1, length=32)
    return kdf.derive(encryption_key.get_secret_value().encode("utf-8", "surrogatepass"))


class CipherKey:
    """One encryption key, derived (some 50 ms, once) and ready for both formats; shows only its ``key_id``.

    The id is derived from the key one way, so that it can stand in every sealed value.
    """

    __slots__ = ("_cbc", "_gcm", "key_id")

    def __init__(self, encryption_key: SecretStr) -> None:
        root = scrypt_key(encryption_key)
        # Each purpose has a key of its own, so that what one format gives away says nothing about the other.
        self._gcm = AESGCM(HKDF(SHA256(), 32, None, b"axisor sealed credentials v1").derive(root))
        self._cbc = AES256(root)
        self.key_id = HKDF(SHA256(), 4, None, b"axisor key id v1").derive(root).hex()

    def __repr__(self) -> str:
        return f"CipherKey({self.key_id})"

    def seal(self, text: SecretStr, account_id: str, field: Field) -> str:
        """Encrypt to the ``sealed`` format for this account and field."""
        nonce = os.urandom(_NONCE)
        bound = self._bound(account_id, field)
        box = nonce + self._gcm.encrypt(nonce, text.get_secret_value().encode(), bound)
        return f"axs1:{self.key_id}:{urlsafe_b64encode(box).decode().rstrip('=')}"

    def open_sealed(self, value: str, account_id: str, field: Field) -> SecretStr | None:
        """Decrypt the ``sealed`` format; None if it isn't that of this key, account and field, untouched."""
        match = _SEALED.fullmatch(value)
        if match is None:
            return None
        try:
            box = urlsafe_b64decode(match["box"] + "=" * (-len(match["box"]) % 4))
            bound = self._bound(account_id, field)
            return _credential(self._gcm.decrypt(box[:_NONCE], box[_NONCE:], bound))
        except (InvalidTag, ValueError):
            return None

    def encrypt_monolith(self, text: SecretStr) -> str:
        """Encrypt to the ``monolith`` format."""
        iv = os.urandom(_BLOCK)
        padder, encryptor = PKCS7(_BLOCK * 8).padder(), Cipher(self._cbc, CBC(iv)).encryptor()
        padded = padder.update(text.get_secret_value().encode()) + padder.finalize()
        return f"{iv.hex()}:{(encryptor.update(padded) + encryptor.finalize()).hex()}"

    def open_monolith(self, value: str) -> SecretStr | None:
        """Decrypt the ``monolith`` format; None if the key is another one, as far as that can be seen."""
        if not _MONOLITH.fullmatch(value):
            return None
        iv, ciphertext = (bytes.fromhex(part) for part in value.split(":"))
        decryptor, unpadder = Cipher(self._cbc, CBC(iv)).decryptor(), PKCS7(_BLOCK * 8).unpadder()
        padded = decryptor.update(ciphertext) + decryptor.finalize()
        # A wrong key leaves valid padding once in 256 times. That the rest is UTF-8 without control characters, too,
        # happens by chance about once in a thousand million times; only `sealed` can rule it out.
        try:
            return _credential(unpadder.update(padded) + unpadder.finalize())
        except ValueError:
            return None

    def _bound(self, account_id: str, field: Field) -> bytes:
        return json.dumps(["axs1", self.key_id, account_id, field]).encode()


def _credential(plain: bytes) -> SecretStr | None:
    text = plain.decode()
    # White space at the ends was pasted along; inside of a credential, a control character is garbage.
    return SecretStr(text) if is_credential(text.strip()) else None
