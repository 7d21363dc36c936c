"""A script that Redis runs as one command: one round trip, atomic."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError


class Script:
    """A script in Lua. Redis is told the text once, and from then on its digest."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """Run it on these keys and return what it returns."""
        try:
            return client.evalsha(self._digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return client.eval(self.text, len(keys), *keys, *arguments)

    def run_behind(
        self, command: Sequence[Any], client: Any, keys: Sequence[str], *arguments: str | bytes | int
    ) -> tuple[Any, Any]:
        """Run it the moment that a ``command`` which may wait is over; return both answers, the command's as it is.

        Raises:
            redis.ResponseError: the script was refused.
        """
        waited, answer = client.execute_behind(command, ("EVALSHA", self._digest, len(keys), *keys, *arguments))
        if isinstance(answer, NoScriptError):
            return waited, self.run(client, keys, *arguments)
        if isinstance(answer, Exception):
            raise answer
        return waited, answer
