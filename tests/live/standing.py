"""A standing cluster as a user has it: the command line in processes of its own, in a runtime folder of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.cluster.processes import process_start, session_members
from deploy.cluster.runtime_folder import RuntimeFolder
from deploy.cluster.state import ClusterState, read_state

ROOT = Path(__file__).parents[2]
PROGRAM = "import sys; from deploy.cli import main; sys.exit(main())"
SMALL = ("--plan", "2x16p+1x16d+2c", "--metrics-port", "0")
"""A plan with everything in it that comes up quickly, on a free port."""

COMMAND_S = 240.0
"""Longer than any limit of a command's own, which would say more."""


@dataclass(frozen=True)
class Cluster:
    """All processes of a cluster, as id and start, and the folder of its Ray node."""

    members: dict[int, int]
    node_folder: Path


class Standing:
    """`run` runs a command of `supernode` to its end; `start` begins one. `folder` is the runtime folder."""

    def __init__(self, path: Path) -> None:
        self.folder = RuntimeFolder(path)
        self._environment = os.environ | {"PYTHONPATH": str(ROOT), "SUPERNODE_RUNTIME_DIR": str(path)}

    def run(self, *arguments: str, expect: int = 0, **variables: str) -> str:
        """Its stdout; the exit code must be as expected. With more variables in its environment."""
        done = self.start(*arguments, **variables)
        out, err = done.communicate(timeout=COMMAND_S)
        assert done.returncode == expect, f"{arguments}: exit {done.returncode}\n{out}\n{err}"
        assert "Traceback" not in err, err
        return out

    def fail(self, *arguments: str, code: int) -> str:
        """The one line with which a command refuses."""
        done = self.start(*arguments)
        _, err = done.communicate(timeout=COMMAND_S)
        assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{err}"
        lines = err.splitlines()
        assert lines[-1].startswith("supernode: "), err
        return lines[-1]

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """A command that runs beside the test."""
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            env=self._environment | variables,
            cwd=self.folder.path.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def status(self) -> dict[str, Any]:
        """`supernode status --json` of a cluster that is up."""
        return json.loads(self.run("status", "--json"))

    def state(self) -> ClusterState:
        """What the keeper wrote."""
        state = read_state(self.folder)
        assert state is not None
        return state

    def cluster(self) -> Cluster:
        """What there is of it now."""
        state = self.state()
        return Cluster(session_members(state.keeper_pid, state.keeper_start), Path(state.ray_folder))

    def find(self, is_wanted: Callable[[str], bool]) -> list[int]:
        """Processes of the cluster whose command line is wanted, oldest first."""
        return [pid for pid in sorted(self.cluster().members) if is_wanted(command_line(pid))]


def command_line(pid: int) -> str:
    """What `ps` shows of a process; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
    except OSError:
        return ""


def alive(members: dict[int, int]) -> list[int]:
    """Those that have not ended."""
    return [pid for pid, start in members.items() if process_start(pid) == start]


def is_taken(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
