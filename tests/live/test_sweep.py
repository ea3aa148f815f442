"""A sweep on a real Ray node: stopped in the middle, and with other numbers of workers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from deploy.cluster.processes import Processes

pytestmark = pytest.mark.live

DEMO = str(Path(__file__).parents[2] / "examples" / "demo.jsonl")
SWEEP = f"""
trace: {DEMO}
slo: ttft=200ms,tpot=50ms
limit: 1500
vary:
  plan: [2x16p+1x64d+8c, 4x16p+1x64d+8c, 90x16p+1x64d+8c]
  rate_scale: [1.0, 2.0, 4.0, 8.0]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The sweep."""
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    return path


def start(file: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """The command, in a folder that is not ours."""
    arguments = ("sweep", str(file), "--out", str(out), "--json", *more)
    call = f"import sys; from deploy.cli import main; sys.exit(main({list(arguments)!r}))"
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", call], text=True, cwd=file.parent, stdout=pipe, stderr=pipe)


def whole(file: Path, out: Path, *more: str) -> tuple[dict[str, Any], str]:
    """Its answer, and what it says beside."""
    process = start(file, out, *more)
    answer, told = process.communicate(timeout=200)
    assert process.returncode == 0, told
    return json.loads(answer), told


def kept(out: Path) -> dict[str, tuple[int, bytes]]:
    """Runs that are kept: when their file was made, and what is in it."""
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (out / "runs").glob("*.json")}


def test_a_sweep_that_is_killed_goes_on_where_it_was_and_any_number_of_workers_finds_the_same(
    file: Path, tmp_path: Path
) -> None:
    processes = Processes()
    killed = start(file, tmp_path / "one", "--jobs", "1")
    deadline_s = time.monotonic() + 100
    while len(kept(tmp_path / "one")) < 2:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    processes.end_new()
    before = kept(tmp_path / "one")
    assert 2 <= len(before) < 8
    answer, told = whole(file, tmp_path / "one", "--jobs", "1")
    assert f"{len(before)} of 12 runs are there already" in told
    after = kept(tmp_path / "one")
    assert {name: after[name] for name in before} == before  # none was made twice
    assert (answer["points"], answer["failed"]) == (12, 4)
    other, _ = whole(file, tmp_path / "two", "--jobs", "2")
    assert other == answer
    assert {name: data for name, (_, data) in kept(tmp_path / "two").items()} == {
        name: data for name, (_, data) in after.items()
    }
    again, told = whole(file, tmp_path / "two")
    assert again == answer
    assert "8 of 12 runs are there already" in told
