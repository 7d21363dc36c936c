"""An account opened for one run: its keys, its client and what is read through it."""

from __future__ import annotations

import hashlib
import hmac
import threading
from dataclasses import dataclass

from cachetools import LRUCache

from axisor_executor.credentials import SecureCredentials, Vault
from axisor_executor.errors import AxisorError
from axisor_executor.exchange import LNMarketsClient, SharedTicker
from axisor_executor.exchange.base import ClientFactory, ExchangeClient, ExchangeOptions
from axisor_executor.observe.logs import say
from axisor_executor.plugins import Registry
from axisor_executor.run.reads import LiveReads
from axisor_executor.settings import Settings
from axisor_executor.storage.accounts import Account
from axisor_executor.storage.connection import Storage

SIGNET_URL = "https://api.signet.lnmarkets.com/v3"
MAINNET_URL = "https://api.lnmarkets.com/v3"
_warned: LRUCache[tuple[str, tuple[str, ...]], bool] = LRUCache(10_000)


@dataclass(frozen=True)
class Acting:
    """One account, ready to be read and acted on. ``fingerprint`` recognises the API key without showing it."""

    account: Account
    client: ExchangeClient
    reads: LiveReads
    fingerprint: str
    exchange_user_id: str


class Accounts:
    """Opens accounts: credentials from the vault, a client from the exchange's factory, one ticker per address."""

    def __init__(self, settings: Settings, storage: Storage, registry: Registry, vault: Vault) -> None:
        self.settings = settings
        self.storage = storage
        self.registry = registry
        self.vault = vault
        self._tickers: dict[tuple[str, str], SharedTicker] = {}
        self._users: LRUCache[tuple[str, str, str], str] = LRUCache(settings.credentials_cache_size)
        self._lock = threading.Lock()
        keys = settings.ring_keys
        key = keys[-1].get_secret_value() if keys else ""  # the oldest stays while newer ones come and go
        self._pepper = hmac.digest(key.encode(), b"axisor api key fingerprint", hashlib.sha256)

    def credentials(self, account: Account) -> SecureCredentials:
        """Return the account's keys as they are in the database now.

        Raises:
            CredentialsError: missing, blank or unreadable.
        """
        say.debug(f"Getting credentials for user {account.user_id} and account {account.id}")
        opened = self.vault.credentials_for(account.user_id, account.id, account.credentials)
        for warning in opened.warnings:
            if not _warned.setdefault((account.id, opened.warnings), False):
                say.warning(f"Credentials of account {account.name}: {warning}; run `axisor-executor db check`")
        _warned[account.id, opened.warnings] = True
        if opened.was_hit:
            say.info(f"Credentials found in cache for account {account.name}", mark="✅")
        else:
            say.info(f"Credentials decrypted for account {account.name}", mark="✅")
        return opened.credentials

    def open(self, account: Account, automation_id: str) -> Acting:
        """Open an account for a run.

        Raises:
            CredentialsError: its keys can't be used.
            AxisorError: no client for its exchange is installed (400, ``unknown_exchange``).
            Unavailable, Rejected: the exchange did not tell whose key it is.
        """
        credentials = self.credentials(account)
        options = self._options(account, credentials)
        factory = self._factory(account)
        client = factory(options, credentials)
        reads = LiveReads(
            client,
            self._ticker(factory, options),
            self.storage,
            account_id=account.id,
            automation_id=automation_id,
            max_price_age=self.settings.max_price_age_seconds,
        )
        fingerprint = credentials.fingerprint(self._pepper)
        return Acting(account, client, reads, fingerprint, self._exchange_user(account, fingerprint, client))

    def _exchange_user(self, account: Account, fingerprint: str, client: ExchangeClient) -> str:
        """Return the exchange's id of the key's owner. A key never changes its owner, so one look-up serves it."""
        owner = (account.id, account.exchange_slug, fingerprint)
        with self._lock:
            known: str | None = self._users.get(owner)
        if known is None:
            known = client.account().value.id
            with self._lock:
                self._users[owner] = known
        return known

    def _factory(self, account: Account) -> ClientFactory:
        if account.exchange_slug in ("lnmarkets", "ln_markets", "ln-markets"):
            return LNMarketsClient
        factory = self.registry.exchanges.get(account.exchange_slug)
        if factory is None:
            known = ", ".join(sorted({"lnmarkets", *self.registry.exchanges}))
            raise AxisorError(
                f"Exchange {account.exchange_slug} is not supported; installed: {known}",
                code="unknown_exchange",
                status=400,
            )
        return factory

    def _options(self, account: Account, credentials: SecureCredentials) -> ExchangeOptions:
        base_url = self.settings.exchange_url
        if credentials.testnet and base_url.lower() == MAINNET_URL:
            base_url = SIGNET_URL  # a key of the test network means nothing on mainnet
        return ExchangeOptions(
            slug=account.exchange_slug,
            base_url=base_url,
            request_timeout=self.settings.request_timeout_seconds,
            connect_timeout=self.settings.connect_timeout_seconds,
            window_seconds=self.settings.signature_window_seconds,
        )

    def _ticker(self, factory: ClientFactory, options: ExchangeOptions) -> SharedTicker:
        with self._lock:
            # By slug too: another exchange's factory may turn the same address into its own, with its own prices.
            place = (options.slug, options.base_url)
            ticker = self._tickers.get(place)
            if ticker is None:
                ticker = self._tickers[place] = SharedTicker(factory(options, None).ticker)
            return ticker
