"""What was found: problems of each kind, counted, with the first of those that have them and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Item = dict[str, Any]

KINDS: dict[str, tuple[str, str]] = {
    "database": ("The database can't be looked into", "Is the server running, and DATABASE_URL right?"),
    "plugins": ("The plugins can't be loaded", "See: axisor-executor plugins"),
    "plugin_failed": ("Plugins that failed to load", "Install a version that works, or disable them."),
    "tables_missing": ("Tables are missing", "On an empty database: axisor-executor db init"),
    "schema": ("Our tables are not those of this version", "Run: axisor-executor db init"),
    "no_key": ("ENCRYPTION_KEY is not set: credentials can't be decrypted", "Set the monolith's key."),
    "user_missing": (
        "Accounts and automations of a user who is not there",
        "Delete them, or give them to a user who is.",
    ),
    "several_active_accounts": (
        "Users with several active accounts: which one is meant can't be told",
        "Leave one account of each of these users active.",
    ),
    "exchange_missing": ("Accounts of an exchange that is not there", "Correct exchange_id."),
    "exchange_unknown": ("Accounts of an exchange without client", "Install its plugin."),
    "credentials_missing": ("Accounts that lack credentials", "The users have to enter them."),
    "credentials_unreadable": (
        "Accounts whose credentials can't be read",
        "Is ENCRYPTION_KEY the monolith's? Older keys belong into AXISOR_ENCRYPTION_KEYS; else users enter them anew.",
    ),
    "credentials_invalid": ("Accounts with credentials that can't be sent", "The users have to enter them anew."),
    "credentials_plain_text": (
        "Accounts with credentials in plain text",
        "Encrypt them: axisor-executor keys rotate. The users should renew these API keys.",
    ),
    "credentials_twice": ("Accounts whose credentials stand twice, and differ", "Remove the outdated spelling."),
    "account_twice": (
        "Accounts with the API key of another one: neither knows what is being done on the other",
        "Keep one of each, and bind all automations to it.",
    ),
    "automation_unbound": ("Automations without an account", "Run: axisor-executor migrate automations --all"),
    "account_missing": ("Automations bound to an account that is not there", "Bind them anew."),
    "account_foreign": ("Automations bound to another user's account", "Bind them anew."),
    "type_unknown": ("Automations of a type that no plugin handles", "Install its plugin."),
    "config_invalid": (
        "Automations with a config that is refused",
        "Correct them; see: axisor-executor plugins schema TYPE",
    ),
    "held_without_account": (
        "Actions whose outcome is not known, on an account that is not there: nothing can look them up",
        "Look at the exchange, then: axisor-executor executions resolve ID",
    ),
    "action_without_execution": (
        "Actions of an execution that is not there",
        "Were executions deleted without their actions? Delete these too.",
    ),
    "execution_damaged": (
        "Executions with a row that no worker writes: nothing takes them up any more, or their end has no time",
        "To go on it needs the status queued, and NULL in wait_for, due_at, sent_at, finished_at; an end: finished_at.",
    ),
    "lease_of_nobody": (
        "Leases that ended more than an hour ago, of an execution that is over or an account that is not there",
        "They hold nothing up, and may be deleted.",
    ),
}
"""What each kind of problem is, and what to do about it; in the order in which they are told."""


@dataclass
class Problem:
    """One kind of problem: how many have it, the first of them, and what to do about it."""

    kind: str
    message: str
    advice: str
    count: int = 0
    items: list[Item] = field(default_factory=list)


class Findings:
    """What was found.

    Args:
        limit: how many of each kind are kept; all are counted.

    Attributes:
        facts: what was looked at.
        counts: how much of it there is.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.facts: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self._found: dict[str, Problem] = {}

    @property
    def problems(self) -> list[Problem]:
        """The kinds of problems that there are."""
        return [self._found[kind] for kind in KINDS if kind in self._found]

    @property
    def ok(self) -> bool:
        """Whether there are none."""
        return not self._found

    def state(self, kind: str, message: str | None = None) -> Problem:
        """Add a problem of the whole, which no single row has; or return it if it is there."""
        if kind not in self._found:
            usual, advice = KINDS[kind]
            self._found[kind] = Problem(kind, message or usual, advice)
        return self._found[kind]

    def note(self, kind: str, item: Item) -> None:
        """Count one that has a problem, and keep it while there is room."""
        problem = self.state(kind)
        problem.count += 1
        if len(problem.items) < self.limit:
            problem.items.append(item)

    def join(self, other: Findings) -> None:
        """Take over the problems of others that are of other kinds."""
        self._found |= other._found

    def as_dict(self) -> dict[str, Any]:
        """Return it JSON-able."""
        return {
            "ok": self.ok,
            "facts": self.facts,
            "counts": self.counts,
            "problems": [
                {
                    "kind": one.kind,
                    "message": one.message,
                    "advice": one.advice,
                    "count": one.count,
                    "items": one.items,
                }
                for one in self.problems
            ],
        }
