"""Processes that replay for a comparison run no code that lies about."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]
SCRIPT = """
import os
from deploy.compare.measure import in_processes
if __name__ == "__main__":
    print(in_processes(abs, [-1, -2], "x", 2), os.environ.get("PYTHONSAFEPATH"))
"""


def test_they_import_nothing_from_the_folder_where_they_start(tmp_path: Path) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    (here / "selectors.py").write_text("import pathlib\npathlib.Path('ran').touch()\nraise SystemExit\n")
    (elsewhere / "run.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONSAFEPATH", None)
    command = [sys.executable, str(elsewhere / "run.py")]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "[1, 2] None\n", done.stderr
    assert not (here / "ran").exists()
