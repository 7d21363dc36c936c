"""How answers are written: JSON that any text fits in, and errors in one shape."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Match

from axisor_executor.errors import AxisorError, NotFound

_MOST_PROBLEMS = 10
_LONGEST_NAME = 60
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Json(JSONResponse):
    """A JSON answer; halves of surrogate pairs, which a request can bring in, don't break it."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def failure(error: AxisorError) -> Json:
    """Return ``{"error": {"status", "code", "message", ...}}`` with that status."""
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status in (429, 503):
        headers["Retry-After"] = str(error.details.get("retryAfterSeconds", 5))
    return Json({"error": error.as_dict()}, status_code=error.status, headers=headers)


def invalid(problems: Sequence[dict[str, Any]]) -> AxisorError:
    """Return the error of a request in which pydantic found these problems; no value stands in it."""
    told = [
        f"{'.'.join(str(part) for part in problem['loc'])[:_LONGEST_NAME]}: {problem['msg']}"
        for problem in problems[:_MOST_PROBLEMS]
    ]
    more = len(problems) - len(told)
    told += [f"and {more} more"] if more > 0 else []
    return AxisorError(f"the request is invalid: {'; '.join(told)}", code="invalid_request", status=400)


async def on_invalid(_: Request, error: Exception) -> Json:
    """Answer a request whose parameters are refused."""
    assert isinstance(error, RequestValidationError)
    return failure(invalid(error.errors()))


async def on_http(request: Request, error: Exception) -> Json:
    """Answer what the framework refuses: unknown paths, and methods that a path does not have."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return failure(NotFound("there is nothing at this path"))
    if error.status_code == 405:
        refused = AxisorError(
            f"this path does not take {request.method[:_LONGEST_NAME]}", code="method_not_allowed", status=405
        )
        answer = failure(refused)
        answer.headers["Allow"] = ", ".join(_allowed(request))
        return answer
    return failure(AxisorError("the request is refused", code="invalid_request", status=400))


def _allowed(request: Request) -> list[str]:
    """Return the methods that a path has, of all its routes: the framework knows those of the first alone."""
    scopes = [{**request.scope, "method": method} for method in _METHODS]
    routes = request.app.routes
    return [one["method"] for one in scopes if any(route.matches(one)[0] is Match.FULL for route in routes)]
