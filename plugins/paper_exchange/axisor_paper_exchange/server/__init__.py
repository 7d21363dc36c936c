"""The HTTP server: API, authentication, faults and the control surface around an engine."""

from axisor_paper_exchange.server.serve import run, serving
from axisor_paper_exchange.server.settings import Settings

__all__ = ["Settings", "run", "serving"]
