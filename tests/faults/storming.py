"""What the storms share: a burst, and the faults that struck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from tests.faults.crew import Crew
from tests.faults.workload import Intent, Workload
from tests.harness.paper import PaperExchange


def struck(paper: PaperExchange) -> Counter[str]:
    """Return how often each fault of the exchange has struck."""
    found: Counter[str] = Counter()
    for fault in paper.faults():
        name = f"{fault['kind']} {fault['status']}" if fault["kind"].startswith("status") else fault["kind"]
        found[name] += fault["struck"]
    del found["latency"]
    return found


def burst(
    work: Workload, intents: Iterable[Intent], crew: Crew, meanwhile: Callable[[int], None] | None = None
) -> None:
    """Take the jobs one after the other, as fast as that goes; ``meanwhile(number)`` between any two."""
    for number, intent in enumerate(intents):
        work.enqueue(intent)
        if meanwhile is not None:
            meanwhile(number)
        crew.tend()


def remove_fault(paper: PaperExchange, fault_id: str) -> None:
    """Take one fault of the exchange away."""
    paper._call("DELETE", f"faults/{fault_id}")
