"""What `deploy/install` makes can be read by whoever runs it, whoever made it."""

from __future__ import annotations

import subprocess
from pathlib import Path

INSTALL = Path(__file__).parents[2] / "deploy" / "install"
PYTHON = """\
#!/bin/sh
# In place of the interpreter: makes of an environment what is run, and installs a file.
case "$2" in
    venv) mkdir "$3" && mkdir "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/axisor-executor" ;;
    pip) mkdir -p "$(dirname "$0")/../lib" && echo >"$(dirname "$0")/../lib/module.py" ;;
esac
"""


def test_another_user_can_read_it_whatever_its_makers_mask(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    target = tmp_path / "axisor"
    subprocess.run(
        ["sh", "-c", f"umask 077; exec {INSTALL} {target} {python}"],
        check=True,
        capture_output=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
    )
    made = [target, *target.rglob("*")]
    assert {path.name for path in made} >= {"axisor", "bin", "lib", "module.py"}
    for path in made:
        needed = 0o055 if path.is_dir() else 0o044
        assert path.stat().st_mode & needed == needed, path
