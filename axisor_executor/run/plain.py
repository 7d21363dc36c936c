"""What a plugin gives back becomes plain values of ours before the core looks at it, or is refused as junk.

A decision becomes what the JSON form in which the ledger keeps it would give back. So the plan that is checked is the
plan that is stored and sent, whatever class, property or shared list the plugin made it of.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from axisor_executor import errors
from axisor_executor.automation import (
    Act,
    AutomationConfig,
    AutomationHandler,
    ClosePosition,
    Group,
    OpenPosition,
    SpendGuards,
    Wait,
)
from axisor_executor.automation.handler import ALL_SATS
from axisor_executor.errors import AxisorError, Unavailable
from axisor_executor.run.anew import made_anew

LONGEST_DECISION = 2_000_000
"""Characters of a decision's JSON: thousands of trades with their facts."""
LONGEST_NAME = 200
LONGEST_MESSAGE = 2000
LONGEST_DETAILS = 20_000
STATUSES = ("completed", "pending", "failed")

_ON_PURPOSE = (
    AxisorError,
    errors.InvalidJob,
    errors.InvalidConfig,
    errors.NotFound,
    errors.Refused,
    errors.StaleData,
    errors.Unavailable,
)
_WHOLE = ("amount", "quantity", "held")
_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Guards:
    """The spend guards of a config, ``None`` for those that it has not (see ``SpendGuards``)."""

    cooldown_seconds: int | None = None
    max_daily_add_margin: int | None = None


class Junk(Exception):
    """What a plugin gave back makes no sense; the message goes on after what it was asked."""


def plain_decision(decision: object) -> Act | Wait:
    """Return a decision as the ledger would keep it.

    Raises:
        Junk: it is none, or none that makes sense.
    """
    if not isinstance(decision, (Act, Wait)):
        raise Junk(f"returned {type(decision).__name__}, not a decision")
    plain = made_anew(decision) or through_json(decision)
    if isinstance(plain, Wait):
        return plain
    act = _named(plain)
    problem = _problem(act)
    if problem is not None:
        raise Junk(f"returned {problem}")
    return act


def through_json(decision: Act | Wait) -> Act | Wait:
    """Return what the ledger would give back of a decision.

    Raises:
        Junk: it would take nothing, or nothing that could be carried out.
    """
    stored = _stored(decision)
    if isinstance(decision, Wait):
        if not _is_name(stored["reason"]) or not isinstance(stored["facts"], dict):
            raise Junk("returned Wait without a reason, or with facts that are no mapping")
        return Wait(stored["reason"], stored["facts"])
    try:
        return Act.from_dict(stored)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise Junk(f"returned Act that can't be carried out: {type(error).__name__}: {error}") from None


def plain_config(
    handler: AutomationHandler[Any], job_action: str | None, raw: Mapping[str, Any]
) -> tuple[str, AutomationConfig, tuple[str, ...]]:
    """Return the action that a job means, its config, and the keys of it that nothing acts on, from a handler.

    Raises:
        Junk: one of its methods returned what makes no sense.
    """
    action: Any = handler.choose_action(job_action, raw)
    if not isinstance(action, str) or action not in handler.actions:
        raise Junk(f"choose_action() returned {_shown(action)}, which is none of its actions")
    config: Any = handler.parse_config(raw, action)
    if not isinstance(config, AutomationConfig):
        raise Junk(f"parse_config() returned {type(config).__name__}, not an AutomationConfig")
    plain_guards(config)
    ignored: Any = handler.ignored(raw, action)
    if not isinstance(ignored, (tuple, list, set, frozenset)) or not all(isinstance(one, str) for one in ignored):
        raise Junk(f"ignored() returned {_shown(ignored)}, not a tuple of keys")
    return str(action), config, tuple(str(one) for one in ignored)


def plain_guards(config: AutomationConfig) -> Guards:
    """Return a config's spend guards.

    Raises:
        Junk: one is none.
    """
    found = {key: getattr(config, key, None) for key in SpendGuards.model_fields}
    for key, value in found.items():
        if value is not None and (type(value) is not int or value <= 0):
            raise Junk(f"parse_config() returned a config with {key} {_shown(value)}, not a whole number above 0")
    return Guards(**found)


def plain_error(error: AxisorError) -> AxisorError:
    """Return an error that a plugin raised on purpose, as one of our own classes.

    Raises:
        Junk: it is the core's alone to raise, or its values are not what they have to be.
    """
    ours = next(cls for cls in type(error).__mro__ if cls.__module__ == errors.__name__)
    if ours not in _ON_PURPOSE:
        raise Junk(f"raised {type(error).__name__}, which only the core raises: {error}")
    message, code, status = str(error.message), error.code, error.status
    wait = getattr(error, "retry_after", None)
    if (
        not isinstance(code, str)
        or not _CODE.fullmatch(code)
        or type(status) is not int
        or not 400 <= status <= 599
        or not (wait is None or (isinstance(wait, (int, float)) and math.isfinite(wait) and wait >= 0))
        or not all(one is None or isinstance(one, str) for one in (error.account_id, error.account_name))
    ):
        raise Junk(f"raised {type(error).__name__} with a code, status or account that is none: {message}")
    if type(error) is ours and not error.details and len(message) <= LONGEST_MESSAGE and _is_text(message):
        return error
    details = _details(error)
    more: dict[str, Any] = {"retry_after": wait} if issubclass(ours, Unavailable) else {}
    return ours(
        message.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")[:LONGEST_MESSAGE],
        code=code,
        status=status,
        account_id=error.account_id,
        account_name=error.account_name,
        details=details,
        **more,
    )


def _stored(decision: Act | Wait) -> dict[str, Any]:
    try:
        text = _encode(decision.as_dict())
    except Exception as error:  # noqa: BLE001  as_dict() is the plugin's where it made a class of its own
        raise Junk(f"returned {type(decision).__name__} that is not JSON: {type(error).__name__}: {error}") from None
    if len(text) > LONGEST_DECISION:
        raise Junk(f"returned a decision of {len(text)} characters; {LONGEST_DECISION} are the most")
    if not _is_text(text):
        raise Junk("returned a decision with characters that no database keeps (NUL, or half a surrogate pair)")
    stored = json.loads(text)
    if not isinstance(stored, dict):
        raise Junk(f"returned {type(decision).__name__} whose as_dict() is no mapping")
    return stored


def _is_text(text: str) -> bool:
    r"""Whether a database keeps it; in JSON, NUL stands as ``\u0000``."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text and "\\u0000" not in text


def _problem(act: Act) -> str | None:
    if not _is_name(act.action) or type(act.lists_trades) is not bool or not isinstance(act.facts, dict):
        return "Act with an action, lists_trades or facts that are none"
    if not act.groups:
        return "Act without a group"
    for group in act.groups:
        problem = _problem_of(group)
        if problem is not None:
            return problem
    keys = [key for group in act.groups if group.actions for key in group.about]
    if len(set(keys)) < len(keys):
        return "two groups for one trade (or two for entries); put their actions into one group"
    return None


def _problem_of(group: Group) -> str | None:
    if not _is_name(group.action) or group.status not in STATUSES or not isinstance(group.facts, dict):
        return f"a group with an action, status ({', '.join(STATUSES)}) or facts that are none"
    if group.trade_id is not None and not _is_name(group.trade_id):
        return f"a group with the trade_id {_shown(group.trade_id)}"
    if group.status == "failed" and not _is_error(group.facts.get("error")):
        return 'a failed group without facts["error"], a mapping with code and message (and status)'
    for before, action in zip((None, *group.actions), group.actions, strict=False):
        for name in _WHOLE:
            if getattr(action, name, 0) > ALL_SATS:
                return f"{type(action).__name__} with {name} {_shown(getattr(action, name))}: more than there is"
        replaces = action.replaces if isinstance(action, OpenPosition) else None
        if replaces is not None and not (isinstance(before, ClosePosition) and before.trade_id == replaces):
            return f"a replacement of {replaces} that it does not close in the step before"
    if group.actions and group.trade_id is not None and group.trade_id not in group.about:
        return (
            f"a group with the trade_id {_shown(group.trade_id)}, which none of its actions is about;"
            " give it that of a trade that they change, or none"
        )
    return None


def _named(act: Act) -> Act:
    """Give groups that don't say theirs the trade of their first action on one, as :func:`~axisor_executor.act` does.

    Nothing is told apart by it, but what is shown, cooled down and sent under an id of its own goes by it.
    """
    groups = tuple([_named_after_its_trade(group) for group in act.groups])
    return act if groups == act.groups else replace(act, groups=groups)


def _named_after_its_trade(group: Group) -> Group:
    target = next((action.target for action in group.actions if action.target), None)
    return group if group.trade_id is not None or target is None else replace(group, trade_id=target)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME


def _is_error(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("code"), str)
        and isinstance(value.get("message"), str)
        and type(value.get("status", 500)) is int
    )


def _details(error: AxisorError) -> Mapping[str, Any]:
    try:
        text = _encode(dict(error.details))
    except Exception as trouble:  # noqa: BLE001  the plugin's own classes may be among them
        raise Junk(f"raised {type(error).__name__} with details that are not JSON ({type(trouble).__name__})") from None
    if len(text) > LONGEST_DETAILS or not _is_text(text):
        raise Junk(f"raised {type(error).__name__} with details that are too long, or that no database keeps")
    details: dict[str, Any] = json.loads(text)
    return details


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 3]}..."
