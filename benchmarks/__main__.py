"""Run benchmarks, each in a process of its own, and join what they found: ``python -m benchmarks [PART ...]``.

Options that only one part knows follow its name: ``python -m benchmarks job_cost --size 2x8``. They are told by
``python -m benchmarks.job_cost --help``.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from benchmarks.report import OUTPUT

PARTS = {
    "job_cost": "jobs/s, CPU, statements and memory, beside Dramatiq, plain Python, BullMQ and DBOS",
    "breakdown": "where a job's microseconds go, layer by layer",
    "latency": "from enqueue to the request at the exchange, and what idling costs",
    "burst": "10 000 guards at once, and guards while entries flood the queue",
    "recovery": "from kill -9 to the job's continuation",
    "scale": "the same with a million executions and 100 000 accounts",
    "startup": "import, boot to the first job, memory of a worker",
    "soak": "half an hour of mixed load with faults (only when it is named)",
}
"""The parts in the order in which they run."""

LONG = ("soak",)
"""Parts that run only when they are named."""


def main(given: Sequence[str] | None = None) -> int:
    """Run what is asked for; return 1 where a part failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=(__doc__ or "").replace("``", ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="parts:\n" + "\n".join(f"  {name:12}{what}" for name, what in PARTS.items()),
    )
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), metavar="PART", help="default: all but the soak")
    parser.add_argument("--quick", action="store_true", help="a few jobs each, to see that all works")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder for the results (default: %(default)s)")
    asked, more = parser.parse_known_args(given)
    parts: list[str] = asked.parts or [name for name in PARTS if name not in LONG]
    if more and len(parts) != 1:
        parser.error(f"{' '.join(more)}: name the one part that this is for")
    more += ["--quick"] if asked.quick else []
    try:
        failed = [name for name in parts if _run(name, ["--output", str(asked.output), *more])]
    finally:
        join(asked.output)
        print(f"All of it: {asked.output / 'report.md'}")
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run(name: str, options: Sequence[str]) -> int:
    print(f"\n=== {name}: {PARTS[name]}", flush=True)
    with subprocess.Popen([sys.executable, "-m", f"benchmarks.{name}", *options]) as part:

        def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  a handler's signature
            part.send_signal(number)
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGTERM, stop)  # of Ctrl-C it hears by itself
        try:
            return part.wait()
        except KeyboardInterrupt:
            part.wait()  # it stops its servers
            raise
        finally:
            signal.signal(signal.SIGTERM, before)


def join(folder: Path) -> None:
    """Join the parts' findings that are in a folder into ``report.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = [folder / f"{name}.md" for name in PARTS]
    found = [section.read_text(encoding="utf-8") for section in sections if section.exists()]
    (folder / "report.md").write_text("\n".join(["# Benchmarks\n", *found]), encoding="utf-8")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
