"""A process of the node that ends, or is stopped for long, is told by name; one that goes on in time is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from deploy.cluster.local.node_watch import ASLEEP_S, NodeProcess, NodeWatch, is_stopped
from deploy.cluster.processes import process_start


@pytest.fixture
def process() -> Iterator[NodeProcess]:
    """One that does nothing."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    start = process_start(child.pid)
    assert start is not None
    yield NodeProcess("raylet", child.pid, start)
    child.kill()
    child.wait()


def until(is_true: Callable[[], bool]) -> None:
    for _ in range(500):
        if is_true():
            return
        time.sleep(0.01)
    raise AssertionError("in vain")


def test_one_that_ends_is_told(process: NodeProcess) -> None:
    watch = NodeWatch([process])
    assert watch.trouble(0.0) == ""
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: bool(watch.trouble(1.0)))
    assert watch.trouble(1.0) == f"raylet of its Ray node (process {process.pid}) has ended"


def test_one_that_is_stopped_for_long_is_told(process: NodeProcess) -> None:
    watch = NodeWatch([process])
    os.kill(process.pid, signal.SIGSTOP)
    until(lambda: is_stopped(process.pid))
    assert watch.trouble(100.0) == ""
    assert watch.trouble(99.0 + ASLEEP_S) == ""
    os.kill(process.pid, signal.SIGCONT)
    until(lambda: not is_stopped(process.pid))
    assert watch.trouble(101.0 + ASLEEP_S) == ""
    os.kill(process.pid, signal.SIGSTOP)
    until(lambda: is_stopped(process.pid))
    assert watch.trouble(200.0) == ""
    assert "was stopped for 10 s" in watch.trouble(200.0 + ASLEEP_S)
