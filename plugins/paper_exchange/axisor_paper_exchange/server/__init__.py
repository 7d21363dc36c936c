"""The HTTP server: API, authentication, faults, the market's life and the control surface around an engine."""

from axisor_paper_exchange.server.opening import Opening
from axisor_paper_exchange.server.serve import Served, run, serving
from axisor_paper_exchange.server.settings import Settings
from axisor_paper_exchange.server.state import StateError

__all__ = ["Opening", "Served", "Settings", "StateError", "run", "serving"]
