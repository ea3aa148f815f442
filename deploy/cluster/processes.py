"""Find the processes that we started, and end them: none may be left behind, and nobody else's may be touched.

Why two ways to find them. A run that owns its Ray node (`LocalCluster`) looks at its own descendants: `Processes`
remembers those that were there before, so that what began since is Ray's. That fails once a parent dies, since its
children are then adopted by process 1. A standing cluster has to be ended even after its keeper was killed, so the
keeper is the leader of a session (`setsid`): children inherit a session whatever becomes of their parents, and the
kernel does not give a process id away while it still names a session.

Why an id is not enough. The kernel reuses ids, and the state file may be days old: a process is known by its id and
the time it began. On Linux that time counts from the start of the machine, so that setting the clock changes nothing.

psutil is imported where it is used: most commands find no state file, and look at no process.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from scheduler.protocol.errors import ClusterError
from scheduler.runtime.clock import monotonic_s, pause_s

GRACE_S: Final = 5.0
"""Seconds that processes have to end by themselves before they are killed."""

LEADERLESS_GRACE_S: Final = 1.0
"""The same for what is left of a session when its leader is gone: nobody ends it in order any more."""

KILLED_WITHIN_S: Final = 10.0
"""Seconds after which a process that was killed and is still there is given up on (the kernel waits for a device)."""

TICKS_PER_S: Final = 100
"""In which start times are told; the kernel counts no finer."""

_POLL_S: Final = 0.05


class Processes:
    """The descendants of this process that began after this object was made, such as those of a Ray node."""

    def __init__(self) -> None:
        self._before = _descendants()
        self._ours: dict[int, int] = {}

    def note_new(self) -> None:
        """Remember all that have begun: those whose parent dies are no longer found as descendants."""
        self._ours |= {pid: start for pid, start in _descendants().items() if pid not in self._before}

    def end_new(self) -> int:
        """Wait for them to end and kill those that do not; returns how many were killed."""
        self.note_new()
        deadline_s = monotonic_s() + GRACE_S
        while (left := self._alive()) and monotonic_s() < deadline_s:
            pause_s(_POLL_S)
        for pid in left:
            _signal(pid, signal.SIGKILL)
        return len(left)

    def _alive(self) -> list[int]:
        return [pid for pid, start in self._ours.items() if process_start(pid) == start]


def process_start(pid: int) -> int | None:
    """When a process began, in ticks of 10 ms; None if it is not alive (a zombie is not).

    Linux: since the machine started, so that it is the same however the clock is set. Elsewhere: Unix time.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        # On Linux psutil adds the boot time as the clock has it now; elsewhere the kernel wrote down the time of day.
        offset_s = psutil.boot_time() if psutil.LINUX else 0.0
        return round((process.create_time() - offset_s) * TICKS_PER_S)
    except (psutil.Error, ValueError):  # ValueError: an id below 0
        return None


def session_members(leader: int, start: int) -> dict[int, int]:
    """Id and start time of every process in the session of a leader that began at `start`, the leader included.

    What is in the session of a dead leader is its own, unless all of it had ended, the id was given to another leader,
    and that one died before its children too. What can be told apart is: members belong to this user and began no
    earlier than the leader, and none is returned once the id is another process's.
    """
    import psutil

    if leader <= 0 or process_start(leader) not in (None, start):
        return {}
    members = ((pid, process_start(pid)) for pid in psutil.pids() if _session(pid) == leader and is_ours(pid))
    return {pid: began for pid, began in members if began is not None and began >= start}


def is_ours(pid: int) -> bool:
    """Whether a process is there and runs as this user."""
    import psutil

    try:
        return psutil.Process(pid).uids().effective == os.geteuid()
    except psutil.Error:
        return False


def end_session(leader: int, start: int, grace_s: float = GRACE_S, finish_s: float | None = None) -> int:
    """Ask the leader to end its session, give it `grace_s`, and kill what is left; returns how many were killed.

    With `finish_s` it may first finish what it does, for so long or until a Ctrl-C here; then SIGINT tells it that it
    is enough. What outlives its leader has a second more. `ClusterError` if some are still there after they were
    killed.
    """
    if finish_s is not None:
        _let_finish(leader, start, finish_s)
    elif process_start(leader) == start:
        _signal(leader, signal.SIGTERM)
    _wait_while(lambda: leader in session_members(leader, start), grace_s)
    _wait_while(lambda: bool(session_members(leader, start)), min(grace_s, LEADERLESS_GRACE_S))
    killed: set[tuple[int, int]] = set()
    deadline_s = monotonic_s() + KILLED_WITHIN_S
    # Again and again: one may have been born while the others were killed.
    while left := session_members(leader, start):
        if monotonic_s() > deadline_s:
            raise ClusterError(
                f"processes {', '.join(map(str, sorted(left)))} cannot be killed; look at them with 'ps'"
            )
        for pid in left:
            _signal(pid, signal.SIGKILL)
        killed |= set(left.items())
        pause_s(_POLL_S)
    return len(killed)


def _let_finish(leader: int, start: int, finish_s: float) -> None:
    if finish_s > 0 and process_start(leader) == start:
        _signal(leader, signal.SIGTERM)
        with suppress(KeyboardInterrupt):
            _wait_while(lambda: process_start(leader) == start, finish_s)
    if process_start(leader) == start:
        _signal(leader, signal.SIGINT)


def _wait_while(holds: Callable[[], bool], limit_s: float) -> None:
    deadline_s = monotonic_s() + limit_s
    while holds() and monotonic_s() < deadline_s:
        pause_s(_POLL_S)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it ended just now
        os.kill(pid, number)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:  # it ended just now, or is hidden from us
        return None


def _descendants() -> dict[int, int]:
    """Id and start time of every process below this one."""
    import psutil

    starts = {child.pid: process_start(child.pid) for child in psutil.Process().children(recursive=True)}
    return {pid: start for pid, start in starts.items() if start is not None}
