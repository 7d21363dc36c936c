"""The ASGI application, put together."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from axisor_executor import __version__
from axisor_executor.runtime import Runtime
from axisor_executor.service import executions, figures, health, prometheus, shapes, switches
from axisor_executor.service.answers import Json, on_http, on_invalid
from axisor_executor.service.console import login, pages
from axisor_executor.service.console.kept import Kept
from axisor_executor.service.gate import Gate
from axisor_executor.service.parameters import refuse_repeated
from axisor_executor.service.parts import Parts
from axisor_executor.service.rates import Rates

_ERRORS = {
    400: "The request is invalid",
    401: "There is no valid token",
    403: "The token may not do this",
    404: "It is not there, or is another user's",
    405: "The path does not take this method",
    409: "The idempotency key belongs to another job, or somebody changed the switch meanwhile",
    413: "The body is too large",
    415: "The body is not announced as JSON",
    429: "Too many requests with this token",
    500: "A mistake of ours",
    503: "The database is away, or the process stops",
}


def create_app(runtime: Runtime | None = None) -> FastAPI:
    """Return the HTTP API and its console as an ASGI application, to be served or to be mounted in another one.

    Args:
        runtime: whose database and queue it uses; the process's runtime (made from the environment at the first
            request) if left out. Whoever made it closes it.
    """
    app = FastAPI(
        title="axisor-executor",
        summary="Executes trading automations of several exchange accounts, each action once",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,  # the interactive pages load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        default_response_class=Json,
        responses={status: {"model": shapes.ErrorAnswer, "description": text} for status, text in _ERRORS.items()},
        dependencies=[
            # Only so that OpenAPI tells of it: the gate has asked for the token before.
            Depends(HTTPBearer(auto_error=False, description="A token of `axisor-executor tokens create`")),
            Depends(refuse_repeated),
        ],
    )
    app.state.parts = Parts(runtime)
    app.state.logins = Rates()
    app.state.kept = Kept()
    app.add_middleware(Gate, parts=app.state.parts)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    for part in (executions, health, figures, prometheus, switches, login, pages):
        app.include_router(part.router)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Take the framework's own answer to invalid requests out of the description: here they get a 400."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        schema = described()
        for operations in schema["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(name, None)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
