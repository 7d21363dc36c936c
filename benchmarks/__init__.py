"""What this software costs, and how fast it is: ``make bench``, or ``python -m benchmarks --help``.

The package that is measured is the one that can be imported; ``PYTHONPATH=<another checkout>`` measures that one, with
its plugins.
"""

import os
import sys
from pathlib import Path

# `python -m` looks in the current folder before it looks where PYTHONPATH says.
for _folder in reversed(os.environ.get("PYTHONPATH", "").split(os.pathsep)):
    if _folder:
        sys.path[:0] = [_folder, *sorted(str(_one.parent) for _one in Path(_folder).glob("plugins/*/pyproject.toml"))]
