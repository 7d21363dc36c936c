"""An account opened for one run: its keys, its client and what is read through it."""

from __future__ import annotations

import hashlib
import hmac
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from urllib.parse import urlsplit

from cachetools import LRUCache, TTLCache

from axisor_executor.automation import Lane
from axisor_executor.credentials import SecureCredentials, Vault
from axisor_executor.errors import AxisorError
from axisor_executor.exchange import LNMarketsClient, SharedTicker
from axisor_executor.exchange.base import ClientFactory, ExchangeClient, ExchangeOptions
from axisor_executor.exchange.networks import network_for
from axisor_executor.exchange.own_thread import OwnThread
from axisor_executor.exchange.price_board import PriceBoard
from axisor_executor.limits.breaker import AccountRef, Breakers
from axisor_executor.limits.budget import Budget
from axisor_executor.limits.gate import Gate, gated
from axisor_executor.observe.logs import say
from axisor_executor.plugins import Registry
from axisor_executor.run.kept import Kept
from axisor_executor.run.reads import LiveReads
from axisor_executor.settings import Settings
from axisor_executor.shared import Shared
from axisor_executor.storage.accounts import Account
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import Execution, Next

LN_MARKETS = frozenset({"lnmarkets", "ln_markets", "ln-markets"})
OLDEST_HANDED_SECONDS = 1.0
"""How old what another run has read may be to be decided on."""


@dataclass(frozen=True)
class Acting:
    """One account, ready to be read and acted on.

    ``fingerprint`` recognises the API key without showing it. ``owner`` returns the exchange's id of the key's owner,
    for which the exchange is asked once; it raises :class:`Unavailable` or :class:`Rejected` where that did not tell.
    """

    account: Account
    client: ExchangeClient
    reads: LiveReads
    gate: Gate
    fingerprint: str
    owner: Callable[[], str]


@dataclass(frozen=True, slots=True)
class _Ready:
    """What follows from an account's keys and exchange, for as long as it has them."""

    keys: weakref.ref[SecureCredentials]  # how long they are kept is for the cache of credentials alone to say
    fingerprint: str
    digest: str
    options: ExchangeOptions
    factory: ClientFactory
    place: str


class Accounts:
    """Opens accounts: credentials from the vault, a client from the exchange's factory, one ticker per address."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        registry: Registry,
        vault: Vault,
        *,
        shared: Shared,
        budget: Budget,
        breakers: Breakers,
    ) -> None:
        self.settings = settings
        self.storage = storage
        self.registry = registry
        self.vault = vault
        self.shared = shared
        self.budget = budget
        self.breakers = breakers
        self._tickers: dict[tuple[str, str], SharedTicker] = {}
        self._ready: Kept[tuple[str, str], _Ready] = Kept(settings.credentials_cache_size)
        self._users: LRUCache[tuple[str, str, str], str] = LRUCache(settings.credentials_cache_size)
        self._handed: TTLCache[str, tuple[Next, Acting]] = TTLCache(
            settings.credentials_cache_size, OLDEST_HANDED_SECONDS
        )
        self._warned: LRUCache[tuple[str, tuple[str, ...]], bool] = LRUCache(settings.credentials_cache_size)
        self._lock = threading.Lock()
        keys = settings.ring_keys
        lasting = settings.encryption_key or (keys[-1] if keys else None)  # stays while newer ones come and go
        key = lasting.get_secret_value() if lasting else ""
        self._pepper = hmac.digest(key.encode(), b"axisor api key fingerprint", hashlib.sha256)

    @property
    def tickers(self) -> tuple[SharedTicker, ...]:
        """The tickers that this process has asked for, one for each address."""
        with self._lock:
            return tuple(self._tickers.values())

    def credentials(self, account: Account) -> SecureCredentials:
        """Return the account's keys as they are in the database now.

        Raises:
            CredentialsError: missing, blank or unreadable.
        """
        say.debug(f"Getting credentials for user {account.user_id} and account {account.id}")
        opened = self.vault.credentials_for(account.user_id, account.id, account.credentials)
        if opened.warnings and self._is_news(account.id, opened.warnings):
            for warning in opened.warnings:
                say.warning(f"Credentials of account {account.name}: {warning}; run `axisor-executor db check`")
        if opened.was_hit:
            say.info(f"Credentials found in cache for account {account.name}", mark="✅")
        else:
            say.info(f"Credentials decrypted for account {account.name}", mark="✅")
        return opened.credentials

    def _is_news(self, account_id: str, warnings: tuple[str, ...]) -> bool:
        with self._lock:
            is_news = (account_id, warnings) not in self._warned
            self._warned[account_id, warnings] = True
        return is_news

    def open(self, account: Account, automation_id: str, lane: Lane, run: Execution | None = None) -> Acting:
        """Open an account for a ``run``, which goes on with what the one before has handed on to it.

        Raises:
            CredentialsError: its keys can't be used.
            AxisorError: no client for its exchange is installed (400, ``unknown_exchange``).
        """
        credentials = self.credentials(account)
        ready = self._make_ready(account, credentials)
        fingerprint = ready.fingerprint
        owner = AccountRef(account.id, account.name, fingerprint, ready.digest, account.user_id)
        gate = Gate(self.budget, self.breakers, exchange=ready.place, account=owner, lane=lane)

        def new_client() -> ExchangeClient:
            return gated(ready.factory(ready.options, credentials), gate)

        client = new_client()
        reads = LiveReads(
            client,
            self._ticker(ready.factory, ready.options),
            self.storage,
            exchange=account.exchange_slug,
            account_id=account.id,
            automation_id=automation_id,
            execution_id="" if run is None else run.id,
            max_price_age=self.settings.max_price_age_seconds,
        )
        # Kept for the run, too: nothing is to be asked any more when its request is about to leave.
        whose = cache(partial(self._exchange_user, account, fingerprint, new_client))
        acting = Acting(account, client, reads, gate, fingerprint, whose)
        self._take_over(acting, run)
        return acting

    def hand_on(self, acting: Acting, to: Next) -> None:
        """Keep what a run has read of its account for the execution to which it has handed the account's lease.

        Nobody else can act on the account meanwhile: as long as that lease is kept for it, what was read holds.
        """
        with self._lock:
            self._handed[acting.account.id] = (to, acting)

    def _take_over(self, acting: Acting, run: Execution | None) -> None:
        with self._lock:
            handed = self._handed.pop(acting.account.id, None)
        if handed is None or run is None or handed[1].account != acting.account:
            return
        # Its very next run: one in between, in another process, may have changed what was read.
        if (handed[0].id, handed[0].fence) == (run.id, run.fence - 1):
            acting.reads.take_over(handed[1].reads, min(OLDEST_HANDED_SECONDS, self.settings.lease_seconds))

    def _make_ready(self, account: Account, credentials: SecureCredentials) -> _Ready:
        name = (account.id, account.exchange_slug)
        ready = self._ready.get(name)
        if ready is None or ready.keys() is not credentials:
            options = self._options(account, credentials)
            ready = _Ready(
                keys=weakref.ref(credentials),
                fingerprint=credentials.fingerprint(self._pepper),
                digest=credentials.digest(self._pepper),
                options=options,
                factory=self._factory(account),
                place=_place(options),
            )
            self._ready.keep(name, ready)
        return ready

    def _exchange_user(self, account: Account, fingerprint: str, new_client: Callable[[], ExchangeClient]) -> str:
        """Return the exchange's id of the key's owner. A key never changes its owner, so one look-up serves it.

        It is asked with a client of its own: the run's may be reading in another thread just then, and no client has
        to bear two.
        """
        owner = (account.id, account.exchange_slug, fingerprint)
        with self._lock:
            known: str | None = self._users.get(owner)
        if known is None:
            known = new_client().account().value.id
            with self._lock:
                self._users[owner] = known
        return known

    def _factory(self, account: Account) -> ClientFactory:
        if account.exchange_slug in LN_MARKETS:
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
        is_ln_markets = account.exchange_slug in LN_MARKETS
        if is_ln_markets or credentials.testnet:
            base_url = network_for(base_url, testnet=credentials.testnet).base_url
        return ExchangeOptions(
            slug="lnmarkets" if is_ln_markets else account.exchange_slug,  # one exchange, one budget, one ticker
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
                gate = Gate(self.budget, self.breakers, exchange=_place(options), account=None, lane="protect")
                client = gated(factory(options, None), gate)
                board = PriceBoard(self.shared, *place)
                thread = OwnThread("axisor-ticker")
                ticker = SharedTicker(client.ticker, board=board, in_background=thread, remind=thread.later)
                self._tickers[place] = ticker
            return ticker


def _place(options: ExchangeOptions) -> str:
    return f"{options.slug}@{urlsplit(options.base_url).netloc}"
