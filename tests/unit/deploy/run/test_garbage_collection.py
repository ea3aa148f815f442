"""How seldom Python looks for cycles in a process of ours."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from deploy.run.garbage_collection import ALLOCATIONS, seldom_collected

ROOT: Final = Path(__file__).parents[4]

DRIVER: Final = """
import atexit, gc, sys
atexit.register(lambda: print(gc.get_threshold()[0], gc.get_freeze_count() > 10_000))  # after what was registered later
from deploy.cli import main
sys.argv = ["supernode", "--version"]
main()
"""


def test_a_run_within_another_process_leaves_it_as_it_was() -> None:
    before = gc.get_threshold()
    with seldom_collected():
        assert gc.get_threshold()[0] == ALLOCATIONS
    assert gc.get_threshold() == before


def test_the_process_of_a_command_collects_seldom_and_not_at_its_end() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DRIVER]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.splitlines()[-1] == f"{ALLOCATIONS} True"
