"""What the Python rivals share: credentials opened once, requests signed, answers looked at."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from functools import cache
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7

BASE = os.environ["LN_MARKETS_API_URL"]
TRADE, RUNNING, TICKER = "/v3/futures/isolated/trade", "/v3/futures/isolated/trades/running", "/v3/futures/ticker"

JOB_SQL = """
SELECT a.type, a.config, a.user_exchange_account_id, u.user_id, u.account_name, u.credentials, u.is_active, e.slug
FROM "Automation" a
JOIN user_exchange_accounts u ON u.id = a.user_exchange_account_id
JOIN exchanges e ON e.id = u.exchange_id
WHERE a.id = %s AND a.user_id = %s
"""
LOG_SQL = """
INSERT INTO "TradeLog"
(id, user_id, automation_id, trade_id, status, action, pnl, amount, price, executed_at, created_at)
VALUES (%s, %s, %s, %s, 'success', %s, %s, %s, %s, now(), now())
"""


class Keys(NamedTuple):
    """An account's credentials."""

    key: str
    secret: bytes
    passphrase: str


@cache
def _cipher_key() -> bytes:
    return Scrypt(salt=b"salt", n=16_384, r=8, p=1, length=32).derive(os.environ["ENCRYPTION_KEY"].encode())


_opened: dict[str, Keys] = {}


def keys_of(account_id: str, row: dict[str, str]) -> Keys:
    """Return an account's credentials, decrypted at the first call."""
    if account_id not in _opened:
        key, secret, passphrase = (_decrypted(row[name]) for name in ("API Key", "API Secret", "Passphrase"))
        _opened[account_id] = Keys(key, secret.encode(), passphrase)
    return _opened[account_id]


def _decrypted(value: str) -> str:
    iv, _, text = value.partition(":")
    decryptor = Cipher(AES256(_cipher_key()), CBC(bytes.fromhex(iv))).decryptor()
    padded = decryptor.update(bytes.fromhex(text)) + decryptor.finalize()
    unpadder = PKCS7(128).unpadder()
    return (unpadder.update(padded) + unpadder.finalize()).decode()


def headers(keys: Keys, method: str, path: str, body: str = "") -> dict[str, str]:
    """Return the headers of a signed request."""
    timestamp = str(int(time.time() * 1000))
    digest = hmac.digest(keys.secret, f"{timestamp}{method.lower()}{path}{body}".encode(), hashlib.sha256)
    return {
        "Content-Type": "application/json",
        "lnm-access-key": keys.key,
        "lnm-access-passphrase": keys.passphrase,
        "lnm-access-timestamp": timestamp,
        "lnm-access-signature": base64.b64encode(digest).decode(),
    }


def order(config: dict[str, Any], client_id: str) -> str:
    """Return the body of a new market order."""
    side = {"b": "buy", "s": "sell"}[config["side"]]
    order = {"type": "market", "side": side, "quantity": config["quantity"], "leverage": config["leverage"]}
    return json.dumps({**order, "clientId": client_id})


def is_at_risk(trade: dict[str, Any], price: float, threshold: float) -> bool:
    """Tell whether a long's price has come as near to its liquidation as the threshold (percent) says."""
    liquidation = float(trade["liquidation"])
    return price <= liquidation + abs(float(trade["entryPrice"]) - liquidation) * (1 - threshold / 100)
