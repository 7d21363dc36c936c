"""Shell blocks as commands: what is called with which words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

_ASSIGNMENT = re.compile(r"[A-Z_]+=")


def commands(code: str) -> Iterator[list[str]]:
    """Return the words of each command, without assignments before it, comments and redirections."""
    for line in code.replace("\\\n", " ").splitlines():
        for part in re.split(r"\s&&\s|\s\|\s", line):
            words = shlex.split(part, comments=True)
            while words and _ASSIGNMENT.match(words[0]):
                words = words[1:]
            if words:
                yield words
