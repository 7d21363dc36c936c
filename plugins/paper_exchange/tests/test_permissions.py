"""What a key may do, and keys that may do nothing any more."""

from __future__ import annotations

from typing import Any

import pytest

from axisor_paper_exchange.server.api import routes
from axisor_paper_exchange.server.auth import PERMISSIONS

TRADE = "/futures/isolated/trade"


def with_key(paper: Any, trader: Any, *permissions: str) -> Any:
    made = paper.ask("POST", f"accounts/{trader.id}/keys", {"permissions": list(permissions)})
    assert made["permissions"] == list(permissions)
    return type(trader)(paper.url, paper.session, made)


def test_every_private_route_needs_the_permission_that_it_names(paper: Any, trader: Any) -> None:
    keys = {
        needed: with_key(paper, trader, *(other for other in PERMISSIONS if other != needed)) for needed in PERMISSIONS
    }
    for (method, path), route in routes.items():
        if not route.private:
            continue
        needed = route.needs(method)
        error = keys[needed].refused(
            method, path.removeprefix("/v3"), {} if method in {"POST", "PUT"} else None, status=403
        )
        assert (error["code"], error["details"]) == ("INSUFFICIENT_PERMISSIONS", {"permission": needed})
    assert paper.effects() == []


def test_a_key_that_may_only_read(paper: Any, trader: Any) -> None:
    reader = with_key(paper, trader, "read")
    assert reader.balance == 1_000_000
    assert reader.get("/futures/isolated/trades/running") == []
    reader.refused("POST", TRADE, {"type": "market", "side": "buy", "leverage": 10, "quantity": 10}, status=403)
    assert trader.buy()["running"]


def test_a_bad_signature_is_told_before_a_missing_permission(paper: Any, trader: Any) -> None:
    reader = with_key(paper, trader, "read")
    reader.secret = "wrong"
    assert reader.refused("POST", TRADE, {}, status=401)["code"] == "INVALID_SIGNATURE"


def test_permissions_of_a_first_key(paper: Any) -> None:
    trader = paper.trader(permissions=["trade"])
    trader.refused("GET", "/account", status=403)
    assert trader.buy()["running"]


def test_a_revoked_key(paper: Any, trader: Any) -> None:
    other = with_key(paper, trader, "read", "trade")
    assert paper.ask("DELETE", f"accounts/{trader.id}/keys/{trader.key}") == {"ok": True}
    assert trader.refused("GET", "/account", status=401)["code"] == "INVALID_API_KEY"
    assert other.buy()["running"]
    shown = paper.get(f"accounts/{trader.id}")
    assert shown["keys"] == [{"key": other.key, "permissions": ["read", "trade"]}]
    assert shown["key"] == other.key
    paper.ask("DELETE", f"accounts/{trader.id}/keys/{other.key}")
    assert paper.get("accounts")[0]["key"] is None


def test_a_key_with_a_slash_in_it(paper: Any) -> None:
    trader = paper.trader(key="a/b c")
    assert paper.send("DELETE", f"accounts/{trader.id}/keys/a%2Fb%20c").status_code == 200
    trader.refused("GET", "/account", status=401)


def test_keys_that_are_not_there(paper: Any, trader: Any) -> None:
    other = paper.trader()
    assert paper.send("DELETE", f"accounts/{trader.id}/keys/{other.key}").status_code == 404
    assert paper.send("DELETE", f"accounts/{trader.id}/keys/nothing").status_code == 404
    assert paper.send("DELETE", f"accounts/nobody/keys/{trader.key}").status_code == 404
    assert other.balance == trader.balance == 1_000_000


@pytest.mark.parametrize("permissions", ["read", ["write"], [1], None, {"read": True}])
def test_bad_permissions(paper: Any, trader: Any, permissions: Any) -> None:
    assert paper.send("POST", f"accounts/{trader.id}/keys", {"permissions": permissions}).status_code == 400
    assert len(paper.get(f"accounts/{trader.id}")["keys"]) == 1
