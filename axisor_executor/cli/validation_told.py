"""What ``automations validate`` looks at and tells: every automation, by the plugins that are installed here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from axisor_executor.cli.environment import database, read_settings
from axisor_executor.cli.output import advancing, console, plain, write_table
from axisor_executor.configs import Checker
from axisor_executor.errors import StorageError
from axisor_executor.plugins import Registry, discover, load
from axisor_executor.run.deciding import Deciders
from axisor_executor.storage.schema import missing_monolith_tables
from axisor_executor.validation import Validated, Which, count, validate


@dataclass
class Findings:
    """What was found: how many, and the first of those that are not taken as they stand, refused ones first."""

    plugins: list[dict[str, Any]]
    limit: int
    counts: Counter[str] = field(default_factory=Counter)
    notable: int = 0
    refused: list[Validated] = field(default_factory=list)
    others: list[Validated] = field(default_factory=list)

    def note(self, one: Validated) -> None:
        """Count an automation, and keep it while there is room."""
        verdicts = {
            "refused": one.problem is not None,
            "upgraded": one.upgraded_to is not None,
            "ignoredKeys": bool(one.ignored),
        }
        self.counts.update(name for name, holds in verdicts.items() if holds)
        self.counts["automations"] += 1
        kept = self.refused if one.problem is not None else self.others
        if not one.is_fine:
            self.notable += 1
            kept.extend([one] if len(kept) < self.limit else [])

    @property
    def named(self) -> list[Validated]:
        """Those that are named."""
        return [*self.refused, *self.others][: self.limit]

    def as_dict(self) -> dict[str, Any]:
        """Return it JSON-able."""
        names = ("automations", "refused", "upgraded", "ignoredKeys")
        return {
            "ok": not self.counts["refused"],
            "plugins": self.plugins,
            "counts": {name: self.counts[name] for name in names},
            "automations": [one.as_dict() for one in self.named],
        }


def validated(which: Which, limit: int, *, quiet: bool) -> Findings:
    """Go through the automations at DATABASE_URL; nothing but that setting is needed.

    Raises:
        SettingsError: DATABASE_URL is not set.
        StorageError: it can't be reached, or the monolith's tables are not there.
        UnknownAutomationType: no automation is of the type that is asked for, and no plugin has it.
    """
    settings = read_settings()
    registry = load(discover(), disabled=settings.disabled_plugins, required=settings.required_plugins)
    found = Findings(_plugins(registry), limit)
    checker = Checker(registry, Deciders(), settings.decide_seconds)
    with database(settings) as storage:
        if missing := missing_monolith_tables(storage):
            raise StorageError(f"tables are missing: {', '.join(missing)}", code="tables_missing")
        total = count(storage, which)
        if which.type is not None and not total:
            registry.handler(which.type)
        with advancing("Validating", total, quiet=quiet) as step:
            for one in validate(storage, checker, which):
                found.note(one)
                step()
    return found


def tell(found: Findings) -> None:
    """Write what was found for people."""
    out, counts = console(), found.counts
    for one in found.plugins:
        reason = f": {one['reason']}" if one["reason"] else ""
        out.print(plain(f"{one['plugin']} ({one['state']}){reason}"), soft_wrap=True)
    named = found.named
    if named:
        columns = ("automation", "user", "account", "type", "what becomes of it")
        write_table(columns, [_row(one) for one in named], whole=("automation",))
    if found.notable > len(named):
        out.print(f"and {found.notable - len(named)} more (--limit shows more)")
    out.print(
        f"{counts['automations']} automations: {counts['refused']} would be refused, "
        f"{counts['upgraded']} upgraded, {counts['ignoredKeys']} have keys that nothing acts on"
    )


def _plugins(registry: Registry) -> list[dict[str, Any]]:
    return [
        {"plugin": one.found.display_name, "state": one.state, "reason": one.reason, "types": list(one.types)}
        for one in registry.plugins
    ]


def _row(one: Validated) -> tuple[str, ...]:
    return (
        plain(one.automation_id),
        plain(one.user_id),
        plain(one.account_name or one.account_id),
        plain(one.type),
        _what(one),
    )


def _what(one: Validated) -> str:
    if one.problem is not None:
        return f"[red]refused[/]: {plain(one.problem['message'])} {plain('[' + one.problem['code'] + ']')}"
    told = [] if one.upgraded_to is None else [f"upgraded from {one.version} to {one.upgraded_to}"]
    return ", ".join(told + ([f"ignores {plain(', '.join(one.ignored))}"] if one.ignored else []))
