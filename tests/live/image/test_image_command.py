"""What the image runs, as a plain process, by whoever runs the tests and by a user without rights; no engine is needed.

Ports differ, so that another cluster may be up.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from deploy.cluster.ports import METRICS_PORT
from deploy.commands.up import EXIT_INTERRUPTED
from tests.live.quick_prometheus import free_port
from tests.live.standing import PROGRAM, ROOT
from tests.unit.deploy.dockerfile import image_command, image_health_check, image_stop_signal, image_user

pytestmark = pytest.mark.live

SMALL = ("--plan", "2x16p+1x16d+2c")
UP_S = 90.0
END_S = 60.0


@pytest.fixture(params=["whoever runs the tests", "the user of the image"])
def user(request: pytest.FixtureRequest) -> int:
    """A user's number."""
    if request.param == "whoever runs the tests":
        return os.getuid()
    if os.getuid() != 0:
        pytest.skip("needs root, who alone can start a process as another user")
    number = image_user()
    if not _can_read(number):
        pytest.skip("needs a checkout and a Python that other users can read")
    return number


def _can_read(user: int) -> bool:
    look = [sys.executable, "-c", "import deploy.cli"]
    try:
        return not subprocess.run(look, cwd=ROOT, user=user, group=user, extra_groups=[], check=False).returncode
    except PermissionError:
        return False


@pytest.fixture
def home(user: int) -> Iterator[Path]:
    """A folder of that user, where others can pass to it."""
    folder = Path(tempfile.mkdtemp(prefix="supernode-home-"))
    os.chown(folder, user, -1)
    yield folder
    shutil.rmtree(folder)


def test_it_comes_up_says_that_it_is_well_and_ends_when_it_is_told_to(user: int, home: Path) -> None:
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SUPERNODE_", "RAY_", "XDG_"))}
    environment = kept | {"HOME": str(home), "PYTHONPATH": str(ROOT), "SUPERNODE_RUNTIME_DIR": str(home / "run")}
    program, *arguments = image_command()
    assert program == "supernode"
    command = [sys.executable, "-c", PROGRAM, *arguments, *SMALL, "--metrics-port", str(port)]
    check = [part.replace(str(METRICS_PORT), str(port)) for part in image_health_check()]
    check[0] = sys.executable

    def is_well() -> bool:
        done = subprocess.run(check, env=environment, cwd=home, user=user, capture_output=True, check=False)
        return done.returncode == 0

    assert not is_well()
    with subprocess.Popen(
        command,
        env=environment,
        cwd=home,
        user=user,
        group=user if user != os.getuid() else None,
        extra_groups=[] if user != os.getuid() else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as running:
        try:
            deadline_s = time.monotonic() + UP_S
            while not is_well():
                assert running.poll() is None, running.communicate()[0].decode()
                assert time.monotonic() < deadline_s
                time.sleep(0.5)
            keeper = json.loads((home / "run" / "state.json").read_text(encoding="utf-8"))["keeper_pid"]
            assert {one.uids().real for one in _session(keeper)} == {user}
        finally:
            running.send_signal(getattr(signal, image_stop_signal()))
            out, _ = running.communicate(timeout=END_S)
    assert running.returncode == EXIT_INTERRUPTED, out.decode()
    assert "Traceback" not in out.decode()
    assert not _session(keeper)
    assert not is_well()


def _session(leader: int) -> list[psutil.Process]:
    """Its processes, whoever runs them."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
