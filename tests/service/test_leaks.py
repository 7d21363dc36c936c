"""Secrets planted wherever they may be, errors of all kinds; and in no answer of any path is one of them."""

from __future__ import annotations

from typing import Any

import pytest

from axisor_executor.storage import executions, tokens
from tests.harness.world import ENCRYPTION_KEY, World
from tests.integration.conftest import Said
from tests.integration.test_canaries import KEYS, MARK, PLAIN, Findings, echoing_exchange
from tests.service.conftest import JSON, Client, client_of

PATHS = (
    "/api/automation/executions?limit=200",
    "/api/health/workers",
    "/api/metrics/performance",
    "/api/metrics/accounts",
    "/api/switches",
    "/metrics",
    "/api/openapi.json",
    "/nothing",
)


def look_everywhere(client: Client, world: World) -> None:
    """Ask every path for everything there is."""
    for path in PATHS:
        client("GET", path)
    for one in client.get(PATHS[0])["executions"]:
        client("GET", f"/api/automation/executions/{one['id']}")
        client("POST", f"/api/automation/executions/{one['id']}/retry")
        client("POST", f"/api/automation/executions/{one['id']}/resolve", json={"verdict": "executed"})
    for account in world.accounts:
        client("GET", f"/api/metrics/accounts/{account.id}")
        client("POST", "/api/switches", json={"scope": "account", "id": account.id})


def test_no_secret_is_in_any_answer(world: World, said: Said) -> None:
    entry = {"side": "b", "quantity": 100}
    accounts = [world.account(keys=KEYS), world.account(name="Plain", keys=PLAIN, credentials=_plain())]
    accounts.append(
        world.account(name="Broken", credentials={"API Key": f"{MARK}-broken", "API Secret": "", "Passphrase": "x"})
    )
    for account in accounts:
        world.run(world.automation(account, "auto_entry", entry))
        world.run(world.automation(account, "auto_entry", {**entry, "quantity": -1}))
    with echoing_exchange() as url:
        world.restart(exchange_url=url)
        for account in accounts:
            world.run(world.automation(account, "auto_entry", entry))
    with client_of(world) as client:
        look_everywhere(client, world)
        heard = "\n".join(client.heard)
    secrets = {"encryption key": ENCRYPTION_KEY, "token": str(client.token)}
    secrets |= KEYS | {f"plain {name}": value for name, value in PLAIN.items()} | {"broken": f"{MARK}-broken"}
    findings = Findings(secrets)
    findings.look("answers", heard)
    findings.look("log", said.text())
    assert findings.found == []
    assert "exchange_rejected" in heard, "the echoing exchange was heard of"


def _plain() -> dict[str, str]:
    return {"API Key": PLAIN["key"], "API Secret": PLAIN["secret"], "Passphrase": PLAIN["passphrase"]}


def test_a_mistake_of_ours_is_told_without_a_word_of_it(
    admin: Client, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"{MARK} of a mistake")

    monkeypatch.setattr(executions, "get", broken)
    answer = admin("GET", "/api/automation/executions/x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    monkeypatch.setattr(tokens, "check", broken)
    answers = [admin("GET", "/api/switches"), admin("POST", "/api/automation/execute", data="{", headers=JSON)]
    assert [one.status_code for one in answers] == [500, 500]
    assert MARK not in "\n".join(admin.heard)
    assert "Traceback" not in "\n".join(admin.heard)
    assert f"{MARK} of a mistake" in said.text(), "whoever runs it can read what it was"
