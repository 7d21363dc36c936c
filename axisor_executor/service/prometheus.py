"""Metrics over HTTP, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from axisor_executor import exposition
from axisor_executor.service.access import Reader, check_unbound
from axisor_executor.service.parts import PartsOf

router = APIRouter(tags=["figures"])


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Text form"}},
)
def metrics(token: Reader, parts: PartsOf) -> Response:
    """Return the metrics of all processes in Prometheus' text form. It says the same in every process of the API."""
    check_unbound(token)
    return Response(exposition.render(parts.runtime), media_type=CONTENT_TYPE_LATEST)
