"""The conformance page names every endpoint that there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from axisor_paper_exchange.server.api import routes

PAGE = Path(__file__).parents[3] / "docs" / "paper-exchange-conformance.md"

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the page is in the executor's repository")


def rows() -> list[list[str]]:
    table = PAGE.read_text().split("\n## ")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| `")
    ]


def test_every_endpoint_has_one_row() -> None:
    named = [row[0].strip("`") for row in rows()]
    assert len(named) == len(set(named))
    assert set(named) == {f"{method} {path.removeprefix('/v3')}" for method, path in routes}


def test_every_row_tells_what_both_do_and_what_is_left_out() -> None:
    for row in rows():
        assert len(row) == 4, row
        assert all(row), row


def test_what_is_refused_is_said_with_its_code() -> None:
    refused = {row[0].strip("`"): re.findall(r"400 `([A-Z_]+)`", row[2]) for row in rows()}
    assert {code for codes in refused.values() for code in codes} == {"PAPER_MONEY", "PAPER_SWAP"}
    assert {call for call, codes in refused.items() if codes} == {
        "POST /account/deposit/lightning",
        "POST /account/withdraw/lightning",
        "POST /account/withdraw/on-chain",
        "POST /account/withdraw/internal",
        "POST /synthetic-usd/swap",
    }
