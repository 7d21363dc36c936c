"""The demo from its start to its end."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from axisor_executor.demo.checks import Check, check
from axisor_executor.demo.keep import how_to_go_on, keep_running
from axisor_executor.demo.leaks import check_leaks, redis_texts
from axisor_executor.demo.parts import require_parts
from axisor_executor.demo.perform import Evidence, gather, send_jobs, wait_for_ends
from axisor_executor.demo.show import Screen, job_row
from axisor_executor.demo.stack import Stack
from axisor_executor.demo.stage import set_stage
from axisor_executor.embedded.interrupts import Interrupts

INTERRUPTED = 130


def play(*, as_json: bool = False, keep: bool = False) -> int:
    """Run the demo and return the exit status: 0 only if every check holds.

    Raises:
        AxisorError: something that it needs is not installed, or does not start.
    """
    screen = Screen(quiet=as_json)
    with Interrupts() as interrupts:
        stack = Stack(interrupts, require_parts(), screen.say)
        try:
            evidence, checks = _play(stack, screen, as_json=as_json)
            if keep:
                _keep(stack, evidence, as_json=as_json)
        except KeyboardInterrupt:
            click.echo("Interrupted: stopping and removing everything", err=True)
            return INTERRUPTED
        finally:
            stack.stop()
    return 0 if all(found.ok for found in checks) else 1


def _play(stack: Stack, screen: Screen, *, as_json: bool) -> tuple[Evidence, list[Check]]:
    started = time.monotonic()
    stack.start()
    stage = set_stage(stack)
    stack.wait_for_worker()
    sent = send_jobs(stack, stage)
    redis_midway = list(redis_texts(stack))
    with screen.counting("Jobs carried out", len(sent)) as counted:
        played = wait_for_ends(stack, sent, counted)
    evidence = gather(stack, stage, played)
    checks = [*check(evidence), *check_leaks(stack, evidence, redis_midway)]
    seconds = time.monotonic() - started
    if as_json:
        click.echo(json.dumps(_document(evidence, checks, seconds), indent=2, ensure_ascii=False))
    screen.jobs(evidence)
    screen.checks(checks)
    screen.verdict(checks, len(played), seconds)
    return evidence, checks


def _keep(stack: Stack, evidence: Evidence, *, as_json: bool) -> None:
    """Keep the stack until Ctrl-C, which is no interruption here."""
    text = how_to_go_on(stack, evidence.stage, list(evidence.played))
    click.echo(f"\n{text}", err=as_json)
    try:
        keep_running(stack)
    except KeyboardInterrupt:
        click.echo("Stopping and removing everything", err=True)


def _document(evidence: Evidence, checks: list[Check], seconds: float) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    return {
        "ok": all(found.ok for found in checks),
        "seconds": round(seconds, 2),
        "jobs": [
            job_row(one, evidence) | {"status": one.execution.status, "executionId": one.execution.id}
            for one in evidence.played
        ],
        "checks": [{"name": found.name, "ok": found.ok, "detail": found.detail} for found in checks],
    }
