"""Ask the handler, and hold its decision against what the account may do."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from axisor_executor.automation import AccountContext, Act, Decision, OpenPosition, Wait
from axisor_executor.errors import AccountInactive, AxisorError, PluginError
from axisor_executor.observe.alerts import Alert
from axisor_executor.plugins import Registered
from axisor_executor.run.acting import Acting
from axisor_executor.run.deciding import Deciders, TooSlow
from axisor_executor.run.resolve import Resolved

_LONGEST = 500


def decide(registered: Registered, context: AccountContext[Any], deciders: Deciders, seconds: float) -> Decision:
    """Return the handler's decision, made within ``seconds``.

    Raises:
        PluginError: it raised something of its own, or returned no decision; named by distribution and version.
        AxisorError: what it raised on purpose.
    """
    plugin = registered.found.display_name
    try:
        decision = deciders.run(lambda: registered.handler.decide(context), seconds)
        stored = decision.as_dict() if isinstance(decision, (Act, Wait)) else None
    except AxisorError:
        raise
    except TooSlow:
        raise PluginError(f"{plugin}: decide() took longer than {seconds:g} s", code="plugin_timeout") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001  a plugin's failure is its own job's, and no more
        raise PluginError(f"{plugin}: {type(error).__name__}: {_plain(str(error))}") from None
    if stored is None:
        raise PluginError(f"{plugin}: decide() returned {type(decision).__name__}, not a decision")
    if isinstance(decision, Act) and not decision.groups:
        raise PluginError(f"{plugin}: decide() returned Act without a group")
    return decision


def _plain(text: str) -> str:
    """Return a stranger's text fit for a log line and a database: one printable line, cut where it is long."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 4 * _LONGEST]).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def check_account(resolved: Resolved, policy: str, execution_id: str) -> Alert | None:
    """Return the alert that an inactive account is worth.

    Raises:
        AccountInactive: the policy refuses the action, which is known before anything is read.
    """
    account = resolved.account
    if account.is_active:
        return None
    enters = resolved.action in resolved.registered.handler.entries
    if policy == "refuse" or (policy == "reduce-only" and enters):
        _refuse(resolved, policy)
    return Alert(
        kind="inactive_account",
        severity="warning",
        message=f"Account {account.name} is inactive; {resolved.action} goes on ({policy})",
        user_id=account.user_id,
        account_id=account.id,
        account_name=account.name,
        automation_id=resolved.automation.id,
        execution_id=execution_id,
    )


def check_plan(decision: Act, resolved: Resolved, policy: str) -> None:
    """Raise where a plan adds risk on an inactive account (a reduce's reopen adds none).

    Raises:
        AccountInactive: nothing of the plan is carried out.
    """
    if resolved.account.is_active or policy == "allow":
        return
    for group in decision.groups:
        for action in group.actions:
            reopens = isinstance(action, OpenPosition) and action.replaces is not None
            if policy == "refuse" or not (action.risk_reducing or reopens):
                _refuse(resolved, policy)


def record_of(resolved: Resolved, acting: Acting) -> dict[str, Any]:
    """Return what a plan is recorded with: who decided, on which config, and what was seen."""
    found = resolved.registered.found
    return {
        "handler": type(resolved.registered.handler).__qualname__,
        "distribution": found.distribution,
        "distributionVersion": found.version,
        "configHash": config_hash(resolved.automation.config),
        "seen": acting.reads.record(),
    }


def config_hash(config: Any) -> str:
    """Return a short hash by which a config is recognised."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _refuse(resolved: Resolved, policy: str) -> None:
    account = resolved.account
    raise AccountInactive(
        f"Account {account.name} is inactive: {resolved.action} is refused (AXISOR_INACTIVE_ACCOUNTS={policy})",
        account_id=account.id,
        account_name=account.name,
    )
