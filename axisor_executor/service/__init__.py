"""The HTTP API (extra ``http``): serve it with ``axisor-executor serve``, or mount it in an ASGI application."""

from axisor_executor.service.app import create_app

__all__ = ["create_app"]
