"""Whether the data in a database is sound: what would make automations fail, or keep something held for ever.

:func:`look` reads only, page by page whatever the size of the tables; no secret gets into what it finds.
"""

from __future__ import annotations

from axisor_executor.integrity.findings import Findings, Item, Problem
from axisor_executor.integrity.look import look

__all__ = ["Findings", "Item", "Problem", "look"]
