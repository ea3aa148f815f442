"""A session is found and ended whole, whatever became of its leader, and nobody else's process is touched."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress

import pytest

from deploy.cluster import processes
from deploy.cluster.processes import end_session, process_start, session_members

FAMILY = """
import os, signal, subprocess, sys, time
child = "import os, signal, subprocess, sys, time\\n{child}"
subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE).stdout.readline()
{leader}
print("up", flush=True)
time.sleep(60)
"""
SLEEP = "print(1, flush=True); time.sleep(60)"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
GRANDCHILD = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
AS_GROUP = "os.setpgid(0, 0);"


@contextmanager
def family(child: str = SLEEP, leader: str = "") -> Generator[tuple[subprocess.Popen[bytes], int]]:
    """A leader of a session of its own, with children, and the time it began."""
    program = FAMILY.format(child=child, leader=leader)
    began = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
    with began as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        start = process_start(process.pid)
        assert start is not None
        try:
            yield process, start
        finally:
            with suppress(ProcessLookupError):
                end_session(process.pid, start, grace_s=0)


def test_members_are_the_leader_and_all_below_it_in_whatever_process_group() -> None:
    with family(child=f"{AS_GROUP}{GRANDCHILD}{SLEEP}") as (leader, start):
        members = session_members(leader.pid, start)
        assert len(members) == 3
        assert members[leader.pid] == start
        assert all(os.getsid(pid) == leader.pid for pid in members)
        assert os.getpid() not in members


def test_orphans_of_a_dead_leader_are_still_members_and_are_ended() -> None:
    with family(child=f"{GRANDCHILD}{SLEEP}") as (leader, start):
        leader.kill()
        leader.wait(10)
        orphans = session_members(leader.pid, start)
        assert len(orphans) == 2
        assert end_session(leader.pid, start, grace_s=0) == 2
        assert not session_members(leader.pid, start)
        assert all(process_start(pid) is None for pid in orphans)


def test_a_leader_that_ends_its_own_needs_no_kill() -> None:
    orderly = ("def end(*_):\\n    os.killpg(0, signal.SIGKILL)\\nsignal.signal(signal.SIGTERM, end)").replace(
        "\\n", "\n"
    )
    with family(leader=orderly) as (leader, start):
        assert end_session(leader.pid, start) == 0
        assert leader.wait(10) == -9


def test_those_that_will_not_go_are_killed_after_their_grace() -> None:
    with family(child=f"{STUBBORN};{SLEEP}", leader=STUBBORN) as (leader, start):
        began_s = time.monotonic()
        assert end_session(leader.pid, start, grace_s=0.3) == 2
        assert time.monotonic() - began_s >= 0.3
        assert not session_members(leader.pid, start)


@pytest.mark.parametrize(("finishes", "finish_s", "code"), [(True, 30.0, 7), (False, 0.3, 8), (False, 0.0, 8)])
def test_a_leader_may_finish_what_it_does_and_is_told_when_that_is_enough(
    finishes: bool, finish_s: float, code: int
) -> None:
    on_term = "os._exit(7)" if finishes else "None"
    leader = (
        f"signal.signal(signal.SIGTERM, lambda *_: {on_term})\nsignal.signal(signal.SIGINT, lambda *_: os._exit(8))"
    )
    with family(leader=leader) as (process, start):
        end_session(process.pid, start, finish_s=finish_s)
        assert process.wait(10) == code


def test_a_reused_id_is_nobody_of_ours() -> None:
    with family() as (leader, start):
        for other in (start - 1, start + 1):
            assert session_members(leader.pid, other) == {}
            assert end_session(leader.pid, other, grace_s=0) == 0
        assert leader.poll() is None


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1])
def test_no_session_has_no_members(pid: int) -> None:
    assert session_members(pid, 0) == {}
    assert end_session(pid, 0, grace_s=0) == 0


def test_our_own_session_is_left_alone_while_another_is_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as bystander, family() as (other, _):
        with family() as (leader, start):
            end_session(leader.pid, start)
            assert leader.wait(10) == -15
        assert bystander.poll() is None
        assert other.poll() is None
        bystander.kill()


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read()
        deadline_s = time.monotonic() + 10
        while processes.process_start(child.pid) is not None:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        assert child.returncode is None
