"""Figures over HTTP: how executions went, overall and for each account."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from axisor_executor.errors import NotFound
from axisor_executor.service import shapes
from axisor_executor.service.access import Reader, check_user
from axisor_executor.service.parts import PartsOf
from axisor_executor.storage import accounts, figures

router = APIRouter(prefix="/api/metrics", tags=["figures"])
_WINDOW = Field(default=3600, ge=60, le=31 * 86_400, description="Seconds to look back")


class Window(BaseModel):
    """Over which time."""

    model_config = ConfigDict(extra="forbid")

    window: int = _WINDOW


class AccountFilters(BaseModel):
    """Which accounts, over which time."""

    model_config = ConfigDict(extra="forbid")

    window: int = _WINDOW
    cursor: str | None = Field(default=None, min_length=1, max_length=200, description="`next` of the page before")
    limit: int = Field(default=100, ge=1, le=1000)


@router.get("/performance", summary="Overall figures")
def performance(token: Reader, parts: PartsOf, query: Annotated[Window, Query()]) -> shapes.Performance:
    """Return the overall figures of what has ended in the last `window` seconds.

    For a token that is bound to a user they are that user's, without `cacheHitRate`.
    """
    with parts.storage.connection():
        found = figures.performance(parts.storage, query.window, user_id=token.user_id)
    return shapes.Performance.model_validate(found)


@router.get("/accounts", summary="Figures of accounts")
def list_accounts(token: Reader, parts: PartsOf, query: Annotated[AccountFilters, Query()]) -> shapes.AccountPage:
    """Return the figures of each account of which something has ended in the last `window` seconds, by id."""
    with parts.storage.connection():
        found = figures.accounts(
            parts.storage, query.window, user_id=token.user_id, after=query.cursor, limit=query.limit + 1
        )
    page = found[: query.limit]
    return shapes.AccountPage(
        window_seconds=query.window,
        accounts=[shapes.AccountFigures.model_validate(one) for one in page],
        next=str(page[-1]["accountId"]) if len(found) > len(page) else None,
    )


@router.get("/accounts/{account_id}", summary="Figures of one account")
def show_account(
    account_id: Annotated[str, Path(max_length=200)], token: Reader, parts: PartsOf, query: Annotated[Window, Query()]
) -> shapes.OneAccount:
    """Return the figures of one account, with how often each error code ended an execution."""
    missing = NotFound(f"Account {account_id} not found", code="account_not_found")
    with parts.storage.connection():
        account = accounts.account(parts.storage, account_id)
        if account is None:
            raise missing
        check_user(token, account.user_id, missing)
        found = figures.account(parts.storage, account.id, query.window)
    about = {
        "windowSeconds": query.window,
        "accountId": account.id,
        "userId": account.user_id,
        "accountName": account.name,
        "exchange": account.exchange_slug,
    }
    return shapes.OneAccount.model_validate({**about, **found})
