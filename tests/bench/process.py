"""Times a command as a whole process: wall, processor and peak memory, from the operating system's own account."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProcessCost:
    """What one run of a command took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def run_process(command: list[str]) -> ProcessCost:
    """Run a command to its end; raises if it fails. Its output is thrown away."""
    started_s = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert child.stderr is not None
    errors = child.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(child.pid, 0)
    wall_s = time.perf_counter() - started_s
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {child.returncode}: {errors.strip()[-500:]}")
    return ProcessCost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
