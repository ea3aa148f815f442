"""Processes of ours are waited for, killed if they must be, and nobody else's are touched."""

from __future__ import annotations

import subprocess
import sys

import pytest

from deploy.cluster import processes
from deploy.cluster.processes import Processes


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def test_only_those_that_began_since_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 0.1)
    with sleeper() as other:
        ours = Processes()
        with sleeper() as child:
            assert ours.end_new() == 1
            assert child.wait(10) == -9
        assert other.poll() is None
        other.kill()


def test_those_that_ended_by_themselves_need_no_kill() -> None:
    ours = Processes()
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        ours.note_new()
        child.wait(10)
    assert ours.end_new() == 0
