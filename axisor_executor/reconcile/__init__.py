"""What became of an action whose answer was lost. Pure: the action, what was seen before, what is seen now.

Nothing is concluded from the worker's clock. A signed request is dead once the **exchange's** clock is past its
timestamp by the signature window and a safety margin: only then does "no effect" mean "not executed".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axisor_executor.automation import Action
from axisor_executor.exchange.base import CrossPosition, Trade
from axisor_executor.reconcile.cross import baseline_of_position, judge_cross
from axisor_executor.reconcile.isolated import baseline_of_trade, judge_trade
from axisor_executor.reconcile.verdict import Observation, Outcome, SignedRequest, Verdict

__all__ = ["Observation", "Outcome", "SignedRequest", "Verdict", "baseline_of", "judge"]


def baseline_of(target: Trade | CrossPosition | None) -> dict[str, Any]:
    """Return what must be remembered of an action's target before it is changed, as JSON."""
    if target is None:
        return {}
    return baseline_of_position(target) if isinstance(target, CrossPosition) else baseline_of_trade(target)


def judge(
    action: Action,
    baseline: Mapping[str, Any],
    seen: Observation,
    request: SignedRequest,
    *,
    client_id: str | None = None,
) -> Verdict:
    """Say what became of ``action``.

    Args:
        action: what was sent.
        baseline: :func:`baseline_of` its target, from before.
        seen: what the exchange shows now.
        request: what was signed, and how long it lives.
        client_id: our id of the order, where the action has one.
    """
    verdict = judge_trade(action, baseline, seen, request) or judge_cross(
        action, baseline, seen, request, client_id=client_id
    )
    return verdict or Verdict("uncertain", f"no rule recognises the effect of {action.kind}")
