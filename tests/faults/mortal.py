"""A paper exchange that dies and comes back: on the same port, with everything that it had carried out."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

from axisor_executor.embedded import ChildProcess
from tests.harness.paper import PaperAccount, PaperExchange, Row


class MortalExchange(PaperExchange):
    """A paper exchange of one's own, whose state is in a file.

    What it carried out stands there, the list of requests does not: that is kept here.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "exchange.log")
        self._folder = folder
        self._earlier: list[Row] = []
        self.process = self._life(port=0)

    def _life(self, port: int) -> ChildProcess:
        command = [sys.executable, "-m", "axisor_paper_exchange", "--port", str(port)]
        return ChildProcess(
            [*command, "--state", self._folder / "exchange.state"],
            output=self._folder / "exchange.log",
            name="paper exchange",
        )

    def kill(self) -> None:
        """Kill it (SIGKILL): its port refuses connections, what was under way is never answered."""
        self.clear_faults()  # the first that fits a request has it: an older one might still let it act
        self.add_fault("drop_before")  # nothing is carried out that the list of requests would not have
        self._earlier += super().requests()
        self.process.kill()

    def revive(self) -> None:
        """Start it again where it was."""
        port = urlsplit(self.url).port
        assert port is not None
        self.process = self._life(port)
        since = self.process.mark()
        self.process.start()
        self.process.wait_for_line(r"^\{.*\}$", since=since, timeout=60)
        self.clear_faults()

    def requests(
        self,
        *,
        since: int = 0,
        account: PaperAccount | str | None = None,
        path: str | None = None,
        mutating: bool = False,
    ) -> list[Row]:
        """Return the requests of all its lives, oldest first."""
        own = account.id if isinstance(account, PaperAccount) else account
        earlier = [
            row
            for row in self._earlier
            if row["seq"] > since
            and own in (None, row["accountId"])
            and path in (None, row["path"])
            and not (mutating and row["method"] == "GET")
        ]
        return earlier + super().requests(since=since, account=account, path=path, mutating=mutating)
