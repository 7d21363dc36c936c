"""The engine as a simulation of the executor: in its process, without HTTP. Only the executor imports this package."""

from axisor_paper_exchange.simulation.exchange import PaperSimulation

__all__ = ["PaperSimulation"]
