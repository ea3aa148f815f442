"""Processes that replay for a comparison run no code that lies about, and leave Ctrl-C to the first one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from deploy.compare.measure import RunProcesses

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


def test_ctrl_c_waits_for_the_first_process_alone() -> None:
    before = blocked_signals(None)
    with RunProcesses(2) as processes:
        assert all(signal.SIGINT in each for each in processes.all(blocked_signals, [None, None]))
    assert signal.SIGINT not in before
    assert blocked_signals(None) == before


def blocked_signals(_: None) -> list[int]:
    """Those that wait in the process that this is called in."""
    return sorted(signal.pthread_sigmask(signal.SIG_BLOCK, set()))
