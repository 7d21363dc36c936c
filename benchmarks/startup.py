"""Start-up and memory: imports, a worker's boot to its first job, what it holds idle and after jobs.

Imports and boots are measured with warm bytecode, as after an installation. The environment counts: redis-py imports
OpenTelemetry, and Dramatiq gevent, where they are installed; ``--python`` measures another one (with this package and
its plugins installed), such as a production image's.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.findings import Findings
from benchmarks.report import Report, options
from benchmarks.stack import Site, Stack, Workers
from benchmarks.usage import Usage, usage, workers_of

IMPORTS = ("axisor_executor", "axisor_executor.api", "axisor_executor.actors")
UNWANTED = ("click", "fastapi", "jinja2", "opentelemetry", "rich", "uvicorn")
"""Modules that a worker has no use for."""

IMPORT_GOAL, BOOT_GOAL, MEMORY_GOAL = 0.25, 1.5, 80.0
SETTLED_SECONDS = 5.0
"""After a boot, until memory is read: the first beats of all threads are over."""

_IMPORT = """
import sys, time
began = time.perf_counter()
import {module}
print(time.perf_counter() - began, *sorted({unwanted!r} & {{name.partition('.')[0] for name in sys.modules}}))
"""


@dataclass(frozen=True)
class Imported:
    """How long an import takes (seconds, one for each try), and what it drags in that it should not."""

    seconds: list[float]
    unwanted: list[str]


class Bench:
    """Everything that is measured, with one interpreter.

    Args:
        python: the interpreter.
        tries: of each import and boot.
        jobs: after which memory is read again.
    """

    def __init__(self, python: str, *, tries: int, jobs: int) -> None:
        self.python = python
        self.tries = tries
        self.jobs = jobs

    def imports(self, module: str, env: dict[str, str]) -> Imported:
        """Import a module in fresh interpreters."""
        code = _IMPORT.format(module=module, unwanted=set(UNWANTED))
        found = [self._run(code, env) for _ in range(self.tries + 1)][1:]  # the first may write bytecode
        return Imported([float(words[0]) for words in found], found[0][1:])

    def _run(self, code: str, env: dict[str, str]) -> list[str]:
        command = [self.python, "-P", "-c", code]  # not what lies in the current folder
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return done.stdout.split()

    def boot(self, site: Site) -> float:
        """Return the seconds from the start of a worker to its first job's request at the exchange."""
        site.stack.exchange.reset()
        site.enqueue("entry", 1)
        began = time.monotonic()
        with self._workers(site):
            return site.stack.wait_for_changes(1, every=0.002) - began

    def memory(self, site: Site) -> tuple[Usage, Usage]:
        """Return what a worker holds idle, and after ``jobs`` jobs."""
        with self._workers(site) as workers:
            workers.wait_for_lines("Worker ready", 1)
            time.sleep(SETTLED_SECONDS)
            (pid,) = workers_of(workers.child.pid)
            idle = usage(pid)
            site.stack.exchange.reset()
            site.enqueue("entry", self.jobs)
            site.stack.wait_for_changes(self.jobs)
            time.sleep(SETTLED_SECONDS)
            return idle, usage(pid)

    @contextmanager
    def _workers(self, site: Site) -> Iterator[Workers]:
        command = [self.python, "-m", "dramatiq", "axisor_executor.actors", "--processes", "1", "--threads", "8"]
        with Workers(command, site.stack.folder, self.environment(site)) as workers:
            yield workers

    def environment(self, site: Site) -> dict[str, str]:
        """Return a worker's environment: with bytecode, which is kept apart from that of the checkout."""
        env = site.environment(PYTHONPYCACHEPREFIX=str(site.stack.folder / "bytecode"))
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        if self.python != sys.executable:
            env.pop("PYTHONPATH")
        return env


def imports(bench: Bench, env: dict[str, str]) -> Findings:
    """Measure imports."""
    table = Findings("Imports in a fresh interpreter (median)")
    imported = {module: bench.imports(module, env) for module in IMPORTS}
    for module, found in imported.items():
        goal = IMPORT_GOAL if module == "axisor_executor" else None
        table.figure(module, statistics.median(found.seconds), "s", most=goal)
    of_worker = imported["axisor_executor.actors"].unwanted
    table.remark(f"Modules in a worker that it has no use for: {', '.join(of_worker) or 'none'}.")
    return table


def boots(bench: Bench, site: Site) -> Findings:
    """Measure boots."""
    table = Findings("From the start of a worker to its first job's request at the exchange")
    bench.boot(site)  # it writes bytecode
    seconds = [bench.boot(site) for _ in range(bench.tries)]
    table.figure("median", statistics.median(seconds), "s", most=BOOT_GOAL)
    table.figure("slowest", max(seconds), "s")
    return table


def memory(bench: Bench, site: Site) -> Findings:
    """Measure memory."""
    table = Findings("Memory of one worker process with 8 threads")
    for name, one in zip(("idle", f"after {bench.jobs} jobs"), bench.memory(site), strict=True):
        table.figure(f"{name}: PSS", one.pss, "MiB", most=MEMORY_GOAL)
        table.figure(f"{name}: RSS", one.rss, "MiB")
        table.figure(f"{name}: private", one.private, "MiB")
    table.remark(
        "RSS counts every page that the process has in memory, PSS a shared page in equal parts to those that share "
        "it, private what would be free if it were gone. Dramatiq's master comes on top, once."
    )
    return table


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__, jobs=1000, quick_jobs=50)
    parser.add_argument("--python", default=sys.executable, help="the interpreter to measure (default: this one)")
    parser.add_argument("--tries", type=int, default=9, help="of each import and boot (default: %(default)s)")
    asked = parser.parse_args()
    bench = Bench(asked.python, tries=1 if asked.quick else asked.tries, jobs=asked.jobs)
    report = Report("startup", "Start-up and memory", asked)
    with Stack() as stack, stack.site("postgres", accounts=200) as site:
        report.versions.update(stack.versions())
        report.show(imports(bench, bench.environment(site)))
        report.show(boots(bench, site))
        report.show(memory(bench, site))
    report.write()


if __name__ == "__main__":
    main()
