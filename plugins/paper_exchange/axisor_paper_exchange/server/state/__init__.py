"""A world that survives its server: a file of one snapshot and the commands since then."""

from axisor_paper_exchange.server.state.file import StateError
from axisor_paper_exchange.server.state.keeper import Keeper

__all__ = ["Keeper", "StateError"]
