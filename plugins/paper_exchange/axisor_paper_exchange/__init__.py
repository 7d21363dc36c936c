"""A simulated LN Markets v3: an HTTP server for tests, fault storms and paper trading, and the engine behind it."""

__all__ = ["__version__"]

__version__ = "0.1.0"
