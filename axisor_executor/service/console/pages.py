"""The console's page, the part of it that is fetched again and again, explanations, and the files of the page."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from axisor_executor import explain
from axisor_executor.errors import NotFound
from axisor_executor.service.access import Reader, own
from axisor_executor.service.callers import caller_of
from axisor_executor.service.console.kept import Kept
from axisor_executor.service.console.rendering import page
from axisor_executor.service.console.view import Asked, look
from axisor_executor.service.executions import ExecutionId
from axisor_executor.service.parts import Parts, PartsOf
from axisor_executor.storage import executions, sessions
from axisor_executor.storage.tokens import Token


def _kept(request: Request) -> Kept:
    kept = request.app.state.kept
    assert isinstance(kept, Kept)
    return kept


KeptOf = Annotated[Kept, Depends(_kept)]
router = APIRouter(include_in_schema=False)
_STATIC = files(__package__) / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILES = {one.name: (one.read_bytes(), _TYPES[f".{one.name.rpartition('.')[2]}"]) for one in _STATIC.iterdir()}


@router.get("/")
def show_page(
    request: Request, token: Reader, parts: PartsOf, kept: KeptOf, asked: Annotated[Asked, Query()]
) -> Response:
    """Return the whole page."""
    return page(request.scope, "page.html", csrf=_csrf(request), **look(parts, kept, token, asked))


@router.get("/console/live")
def show_live(
    request: Request, token: Reader, parts: PartsOf, kept: KeptOf, asked: Annotated[Asked, Query()]
) -> Response:
    """Return what of the page changes by itself."""
    return page(request.scope, "live.html", **look(parts, kept, token, asked))


@router.get("/console/executions/{execution_id}")
def show_explanation(execution_id: ExecutionId, request: Request, token: Reader, parts: PartsOf) -> Response:
    """Return the explanation of an execution as a page of its own."""
    return page(request.scope, "execution.html", csrf=_csrf(request), **_explained(parts, token, execution_id))


@router.get("/console/explanations/{execution_id}")
def show_fragment(execution_id: ExecutionId, request: Request, token: Reader, parts: PartsOf) -> Response:
    """Return the explanation of an execution, to be shown within the page."""
    return page(request.scope, "explanation.html", **_explained(parts, token, execution_id))


@router.get("/console/{name}")
async def show_file(name: str) -> Response:
    """Return a file of the page."""
    if name not in _FILES:
        raise NotFound("there is nothing at this path")
    content, kind = _FILES[name]
    return Response(content, media_type=kind)


def _explained(parts: Parts, token: Token, execution_id: str) -> dict[str, Any]:
    with parts.storage.connection():
        found = own(token, executions.get(parts.storage, execution_id), execution_id)
        told = explain.explain(parts.storage, found)
    return {"one": told, "token": token, "may_operate": "operate" in token.scopes}


def _csrf(request: Request) -> str:
    """Return the session's token for changes; empty for who brings a token, not a cookie."""
    session = caller_of(request.scope).session
    return "" if session is None else sessions.csrf_token(session)
