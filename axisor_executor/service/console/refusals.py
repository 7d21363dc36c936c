"""How a request is refused: programs get the API's error, people who open a page get one, or the login."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from axisor_executor.errors import AxisorError
from axisor_executor.service.answers import failure
from axisor_executor.service.console.rendering import page


def refusal(scope: Scope, path: str, error: AxisorError) -> Response:
    """Return the answer to a request that failed."""
    if not _is_for_people(scope, path):
        return failure(error)
    if error.status == 401:
        return RedirectResponse(f"{scope.get('root_path', '')}/login", status_code=303)
    answer = page(scope, "error.html", status=error.status, error=error)
    answer.headers.update({name: value for name, value in failure(error).headers.items() if name == "retry-after"})
    return answer


def _is_for_people(scope: Scope, path: str) -> bool:
    is_page = path in ("/", "/login", "/logout") or path.startswith("/console/executions/")
    return is_page and "text/html" in Headers(scope=scope).get("accept", "")
