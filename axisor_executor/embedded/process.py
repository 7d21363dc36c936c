"""Child processes that never outlive the process that started them.

A child must be gone when its parent is gone, however that ended. ``atexit`` and ``finally`` cover every end but
SIGKILL; for that a *guard*, a few lines of ``sh``, waits at the end of a pipe which only the parent holds open, and
stops what was started when the pipe closes. (``PR_SET_PDEATHSIG`` would not do: it fires when the starting *thread*
ends, is lost when privileges are dropped, reaches no grandchildren, and exists on Linux only.)
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from axisor_executor.errors import EmbeddedServerError

T = TypeVar("T")

_POLL_SECONDS: Final = 0.01
_TAIL_LINES: Final = 15

# Reads "started <pid> <signal>" and "ended <pid>" lines; at end of file (the parent died) it asks each leader to stop,
# waits up to $2 tenths of a second, kills what is left of the groups and removes $1. "done": all was cleaned up.
# Only the leader is asked: a Dramatiq master forwards the signal, and its workers take a second one as "at once".
_GUARD_SCRIPT: Final = r"""
trap '' HUP INT QUIT TERM
started=
while read -r word pid signal; do
  case $word in
    started) started="$started $pid:$signal" ;;
    ended)
      others=
      for one in $started; do
        [ "${one%%:*}" = "$pid" ] || others="$others $one"
      done
      started=$others ;;
    done) exit 0 ;;
  esac
done
for one in $started; do
  kill -s CONT -- "-${one%%:*}"
  kill -s "${one#*:}" -- "${one%%:*}"
done
left=$2
for one in $started; do
  while [ "$left" -gt 0 ] && kill -s 0 -- "${one%%:*}"; do
    sleep 0.1
    left=$((left - 1))
  done
  kill -s KILL -- "-${one%%:*}"
done
[ -z "$1" ] || rm -rf -- "$1"
"""

# The child reports its own process id before it becomes the program, so no instant is left in which the parent
# could die and the guard not know the child. Standard input is the guard's pipe until then.
_LAUNCH_SCRIPT: Final = 'echo "started $$ $0" >&0 || exit 125; exec "$@" </dev/null'


class Guard:
    """Stop children, and remove a directory, should this process end without doing so itself.

    Args:
        remove: directory deleted after the children were stopped by the guard.
        grace: seconds between asking and killing.
        holds: a file descriptor that stays open until everything was stopped, such as that of a locked file.
    """

    def __init__(self, *, remove: Path | None = None, grace: float = 5.0, holds: int | None = None) -> None:
        read_end, self.lifeline = self._open_pipe()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD_SCRIPT, "axisor-guard", str(remove or ""), str(int(grace * 10))],
                stdin=read_end,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                pass_fds=() if holds is None else (holds,),
                start_new_session=True,  # Ctrl-C and a closed terminal must not reach it
            )
        except BaseException:
            os.close(self.lifeline)
            raise
        finally:
            os.close(read_end)

    def _open_pipe(self) -> tuple[int, int]:
        return os.pipe()

    def dismiss(self) -> None:
        """End the guard; everything was stopped already. May be called again."""
        if self.lifeline >= 0:
            _tell(self.lifeline, "done")
            self._close()

    def fire(self) -> None:
        """Let the guard stop everything now, and wait until it has. May be called again."""
        if self.lifeline >= 0:
            self._close()

    def _close(self) -> None:
        os.close(self.lifeline)
        self.lifeline = -1
        self._process.wait()


def _tell(lifeline: int, line: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # someone killed the guard
        os.write(lifeline, f"{line}\n".encode())


class ChildProcess:
    """A program in a process group of its own, with its output in a file; a context manager.

    Standard output and standard error go to ``output`` together, as the program writes them. Once the leader is seen
    to have ended, whatever it left in its group is killed.

    Args:
        command: program and arguments; the program is looked up on ``PATH``.
        output: file for the child's output (appended to).
        env: the whole environment; this process' own by default.
        cwd: working directory.
        name: what errors call it; the program's name by default.
        stop_signal: what `stop` sends to the leader first.
        grace: seconds that `stop` (and the guard) wait before SIGKILL.
        remove: directory deleted when the child was stopped, by whomever.
        user: user and group id to run as (for a parent that is root).
        lifeline: `Guard.lifeline` of a guard that outlives this object; a guard of its own by default.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        output: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        name: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 10.0,
        remove: Path | None = None,
        user: tuple[int, int] | None = None,
        lifeline: int | None = None,
    ) -> None:
        self.command = [str(part) for part in command]
        self.output = output
        self.name = name or Path(self.command[0]).name
        self._env = dict(os.environ if env is None else env)
        self._cwd = cwd
        self._stop_signal = stop_signal
        self._grace = grace
        self._remove = remove
        self._user = user
        self._lifeline = lifeline
        self._guard: Guard | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._buried = False
        self._burying = threading.Lock()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Start the program.

        Raises:
            EmbeddedServerError: the program is not there, or it runs already.
        """
        if self._process is not None:
            raise EmbeddedServerError(f"{self.name} was started already")
        if shutil.which(self.command[0], path=self._env.get("PATH")) is None:
            raise EmbeddedServerError(f"{self.name} can't be started: no program {self.command[0]!r}")
        if self._lifeline is None:
            self._guard = Guard(remove=self._remove, grace=self._grace)
            self._lifeline = self._guard.lifeline
        try:
            self._process = self._launch(self._lifeline)
        except BaseException:
            self.stop()
            raise
        return self

    def _launch(self, lifeline: int) -> subprocess.Popen[bytes]:
        uid, gid = self._user or (None, None)
        with self.output.open("ab") as output:
            return subprocess.Popen(
                ["/bin/sh", "-c", _LAUNCH_SCRIPT, self._stop_signal.name.removeprefix("SIG"), *self.command],
                stdin=lifeline,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
                user=uid,
                group=gid,
                extra_groups=None if uid is None else [],
            )

    @property
    def pid(self) -> int:
        """Process id of the leader, which is the id of the process group too."""
        if self._process is None:
            raise EmbeddedServerError(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the leader lives (a paused one does)."""
        return self._process is not None and self.returncode is None

    @property
    def returncode(self) -> int | None:
        """Exit status of the leader, negative for a signal; None while it runs."""
        if self._process is None or self._process.poll() is None:
            return None
        return self._bury(self._process)

    def mark(self) -> int:
        """Return the present length of the output in bytes, for ``since`` of the readers."""
        return self.output.stat().st_size if self.output.exists() else 0

    def text(self, since: int = 0) -> str:
        """Return the output so far, from byte ``since`` on."""
        if not self.output.exists():
            return ""
        with self.output.open("rb") as output:
            output.seek(since)
            return output.read().decode(errors="replace")

    def wait_for_line(self, pattern: str | re.Pattern[str], *, timeout: float = 15.0, since: int = 0) -> re.Match[str]:
        """Wait for a whole line of output that ``pattern`` is found in.

        Raises:
            EmbeddedServerError: the child ended first, or ``timeout`` seconds passed; ends with the last output.
        """
        compiled = re.compile(pattern)

        def found() -> re.Match[str] | None:
            whole_lines, _, _ = self.text(since).rpartition("\n")
            return next((hit for line in whole_lines.split("\n") if (hit := compiled.search(line))), None)

        return self.wait_until(found, timeout=timeout, what=f"the line {compiled.pattern!r}")

    def wait_until(self, condition: Callable[[], T | None], *, timeout: float = 15.0, what: str) -> T:
        """Wait until ``condition`` returns something true, and return that.

        Raises:
            EmbeddedServerError: the child ended first, or ``timeout`` seconds passed; ends with the last output.
        """
        deadline = time.monotonic() + timeout
        while True:
            # Asked before the look: what a child wrote just before its end still counts.
            running = self.running
            if result := condition():
                return result
            if not running:
                raise self._failure(f"ended with status {self.returncode} before {what}")
            if time.monotonic() > deadline:
                raise self._failure(f"did not reach {what} within {timeout:g} s")
            time.sleep(_POLL_SECONDS)

    def _failure(self, happened: str) -> EmbeddedServerError:
        tail = "\n".join(self.text().splitlines()[-_TAIL_LINES:])
        return EmbeddedServerError(f"{self.name} {happened}; its last output:\n{tail}")

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the child's own end and return its exit status.

        Raises:
            EmbeddedServerError: it still runs after ``timeout`` seconds.
        """
        if self._process is None:
            raise EmbeddedServerError(f"{self.name} was not started")
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise self._failure(f"still runs after {timeout:g} s") from None
        return self._bury(self._process)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the leader only; nothing happens when it has ended."""
        if self.running:
            os.kill(self.pid, number)

    def pause(self) -> None:
        """Freeze the whole process group (SIGSTOP)."""
        self._signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the process group go on (SIGCONT)."""
        self._signal_group(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the whole process group at once (SIGKILL), as a crash would."""
        self._signal_group(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._bury(self._process)
        self._clean_up()

    def stop(self, timeout: float | None = None) -> int | None:
        """Ask the leader to stop, kill the group after ``timeout`` seconds (``grace`` by default).

        Returns the exit status. May be called again, and on a child that never started (None).
        """
        if self._process is not None and self.running:
            self.resume()
            self.send_signal(self._stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._grace if timeout is None else timeout)
        self.kill()
        return self.returncode

    def _signal_group(self, number: signal.Signals) -> None:
        if self.running:
            self._kill_group(number)

    def _kill_group(self, number: signal.Signals) -> None:
        # Nobody may be left in the group; on macOS a group of unreaped dead refuses signals.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _bury(self, ended: subprocess.Popen[bytes]) -> int:
        # At once and only once after the leader was reaped: later on its number may be another program's.
        with self._burying:
            first, self._buried = not self._buried, True
        if first:
            self._kill_group(signal.SIGKILL)
            if self._lifeline is not None:
                _tell(self._lifeline, f"ended {ended.pid}")
        return ended.returncode

    def _clean_up(self) -> None:
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = self._lifeline = None
        if self._remove is not None:
            shutil.rmtree(self._remove, ignore_errors=True)
