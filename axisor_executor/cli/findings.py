"""What ``db check`` looks for. Reads only; no secret gets into a finding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from axisor_executor.cli.environment import database
from axisor_executor.credentials import KeyRing, StoredCredentials
from axisor_executor.errors import AxisorError, CredentialsError, PluginError, StorageError
from axisor_executor.plugins import Registry, discover, load
from axisor_executor.settings import Settings, mask_url
from axisor_executor.storage.connection import Storage, document
from axisor_executor.storage.schema import MIGRATIONS, is_current, missing_monolith_tables, owns_monolith_tables

Item = dict[str, Any]
_UNREADABLE = (
    "Is ENCRYPTION_KEY the monolith's? Older keys belong into AXISOR_ENCRYPTION_KEYS; else the users have to enter "
    "them anew."
)
_OWN_EXCHANGES = ("lnmarkets", "ln_markets", "ln-markets")


@dataclass(frozen=True)
class Problem:
    """One kind of problem, everything that has it, and what to do about it."""

    kind: str
    message: str
    advice: str
    items: list[Item] = field(default_factory=list)


@dataclass
class Findings:
    """What was found: facts by name, and problems."""

    facts: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, kind: str, message: str, advice: str, items: list[Item] | None = None) -> None:
        """Add a problem; none where ``items`` is an empty list."""
        if items is None or items:
            self.problems.append(Problem(kind, message, advice, items or []))

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "ok": not self.problems,
            "facts": self.facts,
            "counts": self.counts,
            "problems": [
                {"kind": one.kind, "message": one.message, "advice": one.advice, "items": one.items}
                for one in self.problems
            ],
        }


@dataclass(frozen=True)
class _Account:
    id: str
    user_id: str
    name: str
    is_active: bool
    credentials: Any = field(repr=False)
    exchange: str | None

    def item(self, message: str | None = None) -> Item:
        item = {"accountId": self.id, "accountName": self.name, "userId": self.user_id}
        return item | {"message": message} if message else item


@dataclass(frozen=True)
class _Automation:
    id: str
    user_id: str
    type: str
    config: Any
    account_id: str | None

    def item(self, message: str | None = None) -> Item:
        item = {"automationId": self.id, "userId": self.user_id, "type": self.type}
        return item | {"message": message} if message else item


def look(settings: Settings) -> Findings:
    """Look at everything.

    Raises:
        SettingsError: DATABASE_URL is not set.
    """
    found = Findings(facts={"Database": mask_url(settings.require_database())})
    registry = _load_plugins(found, settings)
    try:
        with database(settings) as storage:
            if _check_schema(found, storage):
                accounts = {one.id: one for one in _accounts(storage)}
                automations = list(_automations(storage))
                _count(found, storage, accounts, automations)
                _check_accounts(found, accounts, registry)
                _check_credentials(found, accounts, settings)
                _check_bindings(found, automations, accounts)
                _check_configs(found, automations, registry)
    except StorageError as error:
        found.add("database", error.message, "Is the server running, and DATABASE_URL right?")
    return found


def _load_plugins(found: Findings, settings: Settings) -> Registry | None:
    try:
        registry = load(discover(), disabled=settings.disabled_plugins, required=settings.required_plugins)
    except PluginError as error:
        found.add("plugins", error.message, "See: axisor-executor plugins")
        return None
    failed = [
        {"plugin": one.found.display_name, "message": one.reason} for one in registry.plugins if one.state == "failed"
    ]
    found.add("plugin_failed", "Plugins that failed to load", "Install a version that works, or disable them.", failed)
    return registry


def _check_schema(found: Findings, storage: Storage) -> bool:
    """Say which schema is there; return whether the tables can be looked into."""
    missing = missing_monolith_tables(storage)
    if missing:
        names = ", ".join(missing)
        found.add("tables_missing", f"Tables are missing: {names}", "On an empty database: axisor-executor db init")
        return False
    if not is_current(storage):
        found.add("schema", f"Our tables are not those of schema {len(MIGRATIONS)}", "Run: axisor-executor db init")
    else:
        origin = "made by us" if owns_monolith_tables(storage) else "the monolith's"
        found.facts["Schema"] = f"{len(MIGRATIONS)} (up to date); automations' tables {origin}"
    return True


def _accounts(storage: Storage) -> Iterator[_Account]:
    for row in storage.rows(
        "SELECT u.id, u.user_id, u.account_name, u.is_active, u.credentials, e.slug FROM user_exchange_accounts u "
        "LEFT JOIN exchanges e ON e.id = u.exchange_id ORDER BY u.user_id, u.created_at, u.id"
    ):
        yield _Account(row[0], row[1], row[2], bool(row[3]), row[4], row[5])


def _automations(storage: Storage) -> Iterator[_Automation]:
    for row in storage.rows(
        'SELECT id, user_id, type, config, user_exchange_account_id FROM "Automation" ORDER BY user_id, id'
    ):
        yield _Automation(*row)


def _count(found: Findings, storage: Storage, accounts: Mapping[str, _Account], automations: list[_Automation]) -> None:
    users = {one.user_id for one in accounts.values()} | {one.user_id for one in automations}
    found.counts = {"users": len(users), "accounts": len(accounts), "automations": len(automations)}
    if "axisor_executions" in storage.tables:
        row = storage.one("SELECT COUNT(*) FROM axisor_executions")
        found.counts["executions"] = int(row[0]) if row else 0
    found.facts["Holds"] = ", ".join(f"{count} {name}" for name, count in found.counts.items())


def _check_accounts(found: Findings, accounts: Mapping[str, _Account], registry: Registry | None) -> None:
    active: dict[str, list[_Account]] = defaultdict(list)
    for one in accounts.values():
        if one.is_active:
            active[one.user_id].append(one)
    found.add(
        "several_active_accounts",
        "Users with several active accounts: which one is meant can't be told",
        "Leave one account of each of these users active.",
        [
            {"userId": user_id, "message": ", ".join(f"{one.name} ({one.id})" for one in several)}
            for user_id, several in active.items()
            if len(several) > 1
        ],
    )
    gone = [one.item() for one in accounts.values() if one.exchange is None]
    found.add("exchange_missing", "Accounts of an exchange that is not there", "Correct exchange_id.", gone)
    if registry is not None:
        known = {*_OWN_EXCHANGES, *registry.exchanges}
        strange = [
            one.item(f"exchange {one.exchange}")
            for one in accounts.values()
            if one.exchange is not None and one.exchange not in known
        ]
        found.add("exchange_unknown", "Accounts of an exchange without client", "Install its plugin.", strange)


def _check_credentials(found: Findings, accounts: Mapping[str, _Account], settings: Settings) -> None:
    bad: dict[str, list[Item]] = defaultdict(list)
    if not settings.ring_keys:
        found.add("no_key", "ENCRYPTION_KEY is not set: credentials can't be decrypted", "Set the monolith's key.")
    ring = KeyRing.from_settings(settings)
    for one in accounts.values():
        stored = StoredCredentials(one.credentials, account_id=one.id)
        for code in stored.warnings:
            bad["credentials_plain_text" if code.startswith("plain_text") else "credentials_twice"].append(
                one.item(code.partition("_")[2].replace("text_", ""))
            )
        try:
            if settings.ring_keys:
                stored.open(ring)
            else:
                stored.check()
        except CredentialsError as error:
            bad[error.code].append(one.item(error.message))
    messages = {
        "credentials_missing": ("Accounts that lack credentials", "The users have to enter them."),
        "credentials_unreadable": ("Accounts whose credentials can't be read", _UNREADABLE),
        "credentials_plain_text": ("Credentials in plain text", "The users should renew these API keys."),
        "credentials_twice": ("Credentials that stand twice, and differ", "Remove the outdated spelling."),
    }
    for code, (message, advice) in messages.items():
        found.add(code, message, advice, bad[code])


def _check_bindings(found: Findings, automations: list[_Automation], accounts: Mapping[str, _Account]) -> None:
    unbound = [one.item() for one in automations if one.account_id is None]
    users = sorted({str(item["userId"]) for item in unbound})
    more = "" if len(users) == 1 else f" (and {len(users) - 1} more users)"
    advice = f"Run: axisor-executor migrate automations --user {users[0]}{more}" if users else ""
    found.add("automation_unbound", "Automations without an account", advice, unbound)
    bound = [(one, accounts.get(one.account_id)) for one in automations if one.account_id is not None]
    gone = [one.item(f"account {one.account_id}") for one, account in bound if account is None]
    found.add("account_missing", "Automations bound to an account that is not there", "Bind them anew.", gone)
    foreign = [
        one.item(f"account {account.name} ({account.id}) of user {account.user_id}")
        for one, account in bound
        if account is not None and account.user_id != one.user_id
    ]
    found.add("account_foreign", "Automations bound to another user's account", "Bind them anew.", foreign)


def _check_configs(found: Findings, automations: list[_Automation], registry: Registry | None) -> None:
    if registry is None:
        return
    known = ", ".join(sorted(registry.handlers)) or "none"
    unknown = [one.item() for one in automations if one.type not in registry.handlers]
    found.add(
        "type_unknown",
        "Automations of a type that no plugin handles",
        f"Install its plugin; there are: {known}",
        unknown,
    )
    invalid = [
        one.item(problem)
        for one in automations
        if one.type in registry.handlers and (problem := _config_problem(one, registry))
    ]
    found.add(
        "config_invalid",
        "Automations with a config that is refused",
        "Correct them; see: axisor-executor plugins schema TYPE",
        invalid,
    )


def _config_problem(automation: _Automation, registry: Registry) -> str | None:
    handler = registry.handlers[automation.type].handler
    try:  # PostgreSQL hands a JSON text over without its quotes
        config = document(automation.config)
    except ValueError:
        config = None
    if not isinstance(config, Mapping):
        return "config: must be a JSON object"
    try:
        handler.parse_config(config, handler.choose_action(None, config))
    except AxisorError as error:
        return error.message
    return None
