"""Credentials that Node's crypto encrypted decrypt here, and the other way round."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from axisor_executor.credentials import KeyRing, SecureCredentials, StoredCredentials

FIXTURES = Path(__file__).parents[1] / "fixtures"
SCRIPT = FIXTURES / "make_node_credentials.js"
MADE: dict[str, Any] = json.loads((FIXTURES / "node_credentials.json").read_text(encoding="utf-8"))
RING = KeyRing([SecretStr(MADE["encryption_key"])])
NODE = shutil.which("node")

needs_node = pytest.mark.skipif(NODE is None, reason="no `node` on PATH to run the monolith's side with")


def run_node(*arguments: str, given: str = "") -> str:
    command = [NODE or "node", str(SCRIPT), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, encoding="utf-8", check=True, timeout=60)
    return done.stdout


@pytest.mark.parametrize("case", MADE["cases"], ids=lambda case: case["name"])
def test_what_node_wrote_decrypts(case: dict[str, str]) -> None:
    plain = RING.decrypt(SecretStr(case["ciphertext"]), account_id="acc1", field="secret")
    assert plain.get_secret_value() == case["plain"]


def test_a_row_that_node_wrote_opens() -> None:
    stored = StoredCredentials(MADE["row"], account_id="acc1")
    assert stored.warnings == ()
    assert stored.open(RING) == SecureCredentials("node-api-key", "node-api-secret", "node-passphrase")


@needs_node
def test_node_decrypts_what_we_write() -> None:
    texts = [case["plain"] for case in MADE["cases"]]
    ciphertexts = [RING.encrypt(SecretStr(text), format="monolith", account_id="acc1", field="key") for text in texts]
    given = json.dumps({"key": MADE["encryption_key"], "ciphertexts": ciphertexts})
    assert json.loads(run_node("decrypt", given=given)) == texts


@needs_node
def test_the_fixture_is_what_the_script_makes() -> None:
    assert json.loads(run_node("print")) == MADE
