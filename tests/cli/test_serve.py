"""`serve` in this process, where its database fails; as a process of its own it is tested beside the HTTP API."""

from __future__ import annotations

from typing import Any

import pytest

from axisor_executor import runtime
from axisor_executor.service import serving
from tests.cli.conftest import Commands
from tests.harness.world import SUICIDE


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
class TestAConnectionThatDies:
    """Between the look at the tables, which explains what it meets, and the first request."""

    def dying(self, *_: Any) -> None:
        runtime.current().storage.run(SUICIDE)

    @pytest.mark.parametrize("part", [(runtime, "Intake"), (serving, "create_app")], ids=["intake", "application"])
    def test_it_is_one_message(
        self, commands: Commands, monkeypatch: pytest.MonkeyPatch, part: tuple[Any, str]
    ) -> None:
        monkeypatch.setattr(*part, self.dying)
        message = commands.error("serve", "--port", "0")
        assert message.startswith("error: the database failed: ")
        assert message.endswith("[database_unavailable]\n")
