"""Are the processes of a Ray node alive and awake? Ray itself takes minutes to say so, if it ever does."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from deploy.cluster.processes import process_start, session_members

PARTS: Final = ("gcs_server", "raylet", "ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Names of the processes without which a node is none."""

ASLEEP_S: Final = 10.0
"""Wall seconds for which a process may be stopped (SIGSTOP) until it is taken for gone."""


class NodeProcess(Struct, frozen=True):
    """A process that a node needs."""

    name: str
    pid: int
    start: int


def node_processes(leader: int, start: int) -> list[NodeProcess]:
    """Those of the node in a session."""
    import psutil

    found: list[NodeProcess] = []
    for pid, began in session_members(leader, start).items():
        try:
            name = psutil.Process(pid).name()
        except psutil.Error:
            continue
        if name in PARTS:
            found.append(NodeProcess(name, pid, began))
    return found


class NodeWatch:
    """Looks at the processes of a node now and then; `trouble` says which has ended, or sleeps too long."""

    def __init__(self, processes: list[NodeProcess]) -> None:
        self._processes = processes
        self._asleep_since_s: dict[int, float] = {}

    def trouble(self, now_s: float) -> str:
        """One line; empty if all is well. `now_s` is monotonic."""
        for one in self._processes:
            if process_start(one.pid) != one.start:
                return f"{one.name} of its Ray node (process {one.pid}) has ended"
            if not is_stopped(one.pid):
                self._asleep_since_s.pop(one.pid, None)
            elif now_s - self._asleep_since_s.setdefault(one.pid, now_s) >= ASLEEP_S:
                return f"{one.name} of its Ray node (process {one.pid}) was stopped for {ASLEEP_S:.0f} s"
        return ""


def is_stopped(pid: int) -> bool:
    """Whether a process is there and does nothing until somebody lets it go on."""
    import psutil

    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False
