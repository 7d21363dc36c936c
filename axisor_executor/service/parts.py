"""What requests share: the runtime's parts, made once, and who waits for an execution's end."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from axisor_executor import runtime
from axisor_executor.runtime import Runtime
from axisor_executor.service.waiting import Waiting
from axisor_executor.storage.connection import Storage


class Parts:
    """The parts of a runtime that requests need; the process's runtime, unless one is given.

    They are made by the first request: an application that is mounted in another is told of no start.
    """

    def __init__(self, given: Runtime | None) -> None:
        self._given = given
        self.waiting = Waiting()

    @property
    def runtime(self) -> Runtime:
        """The runtime, with everything made that takes jobs.

        Raises:
            AxisorError: its settings, its database or its plugins can't be used.
        """
        found = self._given or runtime.current()
        _ = (found.intake, found.breakers)
        return found

    @property
    def storage(self) -> Storage:
        """The database."""
        return self.runtime.storage


def parts_of(request: Request) -> Parts:
    """Return the parts of the application that the request came to."""
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts


PartsOf = Annotated[Parts, Depends(parts_of)]
