"""What a token may do: its scopes, and the one user that it may be bound to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from axisor_executor.errors import AxisorError, NotFound
from axisor_executor.service.callers import caller_of
from axisor_executor.storage.executions import Execution
from axisor_executor.storage.tokens import Scope, Token


def may(scope: Scope) -> Callable[[Request], Awaitable[Token]]:
    """Return a dependency that lets tokens of this scope pass, and hands the token over."""

    async def caller(request: Request) -> Token:
        token = caller_of(request.scope).token
        if scope not in token.scopes:
            raise _forbidden(f"this token lacks the scope {scope}")
        return token

    return caller


Reader = Annotated[Token, Depends(may("read"))]
Taker = Annotated[Token, Depends(may("execute"))]
Operator = Annotated[Token, Depends(may("operate"))]


def check_unbound(token: Token) -> None:
    """Refuse what concerns all users to a token that is bound to one.

    Raises:
        AxisorError: 403, ``forbidden``.
    """
    if token.user_id is not None:
        raise _forbidden("this token is bound to one user, and this concerns all")


def check_user(token: Token, user_id: str, not_found: NotFound) -> None:
    """Refuse what is another user's to a bound token, as if it was not there.

    Raises:
        NotFound: the one that is given.
    """
    if token.user_id not in (None, user_id):
        raise not_found


def own(token: Token, found: Execution | None, execution_id: str) -> Execution:
    """Return an execution that this token may see.

    Raises:
        NotFound: there is none, or it is another user's.
    """
    missing = NotFound(f"Execution {execution_id} not found", code="execution_not_found")
    if found is None:
        raise missing
    check_user(token, found.user_id, missing)
    return found


def _forbidden(message: str) -> AxisorError:
    return AxisorError(message, code="forbidden", status=403)
