"""Which processes did we start, and are they gone? Knows only its own descendants, each by id and start time."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

from scheduler.runtime.clock import monotonic_s, pause_s

GRACE_S: Final = 5.0
"""Seconds that processes have to end by themselves before they are killed."""

_PROC: Final = Path("/proc")
_POLL_S: Final = 0.05


class Processes:
    """The descendants of this process that began after this object was made. Without /proc it knows none."""

    def __init__(self) -> None:
        self._before = _descendants()
        self._ours: dict[int, int] = {}

    def note_new(self) -> None:
        """Remember all that have begun: those whose parent dies are no longer found as descendants."""
        self._ours |= {pid: start for pid, start in _descendants().items() if pid not in self._before}

    def end_new(self) -> int:
        """Wait for them to end and kill those that do not; answers how many were killed."""
        self.note_new()
        deadline_s = monotonic_s() + GRACE_S
        while (left := self._alive()) and monotonic_s() < deadline_s:
            pause_s(_POLL_S)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended just now
        return len(left)

    def _alive(self) -> list[int]:
        return [pid for pid, start in self._ours.items() if (state := _stat(pid)) and state[1] == start]


def _stat(pid: int) -> tuple[int, int] | None:
    """(parent, start time in ticks) of a process that is alive."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else (int(fields[1]), int(fields[19]))


def _descendants() -> dict[int, int]:
    """Id and start time of every process below this one."""
    if not _PROC.is_dir():
        return {}
    stats = {
        int(entry.name): stat for entry in _PROC.iterdir() if entry.name.isdigit() if (stat := _stat(int(entry.name)))
    }
    ours = {os.getpid()}
    found: dict[int, int] = {}
    while new := {pid: start for pid, (parent, start) in stats.items() if parent in ours and pid not in found}:
        found |= new
        ours |= set(new)
    return found
