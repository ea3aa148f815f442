"""`supernode replay --live` as a user runs it: Ctrl-C, a partial result, what being live cost, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.cluster.processes import Processes

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
PROGRAM = "import sys; from deploy.cli import main; sys.exit(main())"
UP_S = 60.0


def test_an_interrupt_shows_the_partial_result_and_what_being_live_cost(tmp_path: Path) -> None:
    trace = ROOT / "examples" / "demo.jsonl"
    small = ["--plan", "1x16p+1x16d", "--cache", "none", "--speed", "2"]
    processes = Processes()
    command = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PROGRAM,
            "replay",
            str(trace),
            "--live",
            *small,
            "--journal",
            "journal",
            "--out",
            "run",
            "--json",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline_s = time.monotonic() + UP_S
    # The control plane opens the journal when clock zero is agreed on; that it can be written was tried before.
    num_seen = 0
    while num_seen < 2:
        num_seen = num_seen + 1 if (tmp_path / "journal").exists() else 0
        assert time.monotonic() < deadline_s
        assert command.poll() is None
        time.sleep(0.2)
    time.sleep(4)
    processes.note_new()
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=60)
    assert command.returncode == 130
    assert err.splitlines()[-1] == "supernode: interrupted"
    result = json.loads(out)
    requests, live = result["requests"], result["live"]
    assert result["partial"] is True
    assert 0 < requests["arrived"] < 1500
    assert requests["finished"] + requests["rejected"] + requests["failed"] == requests["arrived"]
    assert result["finish_reasons"]["interrupted"] == requests["failed"]
    assert live["speed"] == 2.0
    assert 0 < live["startup_s"] < UP_S
    assert 0 < live["hop_wall_s"]["p50"] <= live["hop_wall_s"]["p99"]
    assert live["hop_share_of_ttft"] > 0
    assert (tmp_path / "run/summary.json").read_text() == out
    assert processes.end_new() == 0, "processes outlived the run"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal", "run"]
