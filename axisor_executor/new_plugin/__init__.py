"""A new plugin as a ready distribution: package, tests that hold it to the handler's contract, packaging and README."""

from axisor_executor.new_plugin.distribution import make
from axisor_executor.new_plugin.names import Names, Texts, core_range, name_plugin

__all__ = ["Names", "Texts", "core_range", "make", "name_plugin"]
