"""Ctrl-C and SIGTERM end a command cleanly: the partial result, nothing half-written, exit 130."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MILLION = ROOT / "examples" / "azure_conversation_million.yaml"
PROGRAM = "import sys; from deploy.cli import main; sys.exit(main())"
UP_S = 60.0
WORK_S = 0.6
"""Time that a command is left at its work before it is interrupted."""

START_S = 1.5
"""Time for a command to start, where nothing shows that it has."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Command:
    """`supernode` in a process group of its own."""

    def __init__(self, folder: Path, arguments: Sequence[str | Path]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, arguments)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def interrupt(self, number: signal.Signals, sign: Path | None = None) -> None:
        """Send a signal in the midst of its work, which the file `sign` shows if there is one."""
        deadline_s, num_seen = time.monotonic() + UP_S, 0
        while sign is not None and num_seen < 2:  # once may have been a trial whether it can be written
            num_seen = num_seen + 1 if sign.exists() else 0
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        time.sleep(START_S if sign is None else WORK_S)
        assert self._process.poll() is None, "the command was over before it was interrupted"
        self._process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        out, err = self._process.communicate(timeout=30)
        with pytest.raises(ProcessLookupError):  # nothing of its group is left
            os.killpg(self._process.pid, 0)
        return self._process.returncode, out, err


@pytest.mark.parametrize("number", SIGNALS)
def test_a_replay_ends_early_with_every_request_accounted_for(tmp_path: Path, number: signal.Signals) -> None:
    wanted = ("--limit", "400000", "--json", "--out", "run", "--journal", "journal", "--fail-if", "seed<1")
    command = Command(tmp_path, ["replay", MILLION, *wanted])
    command.interrupt(number, tmp_path / "journal")
    code, out, err = command.end()
    assert (code, err) == (130, "supernode: interrupted\n")
    result = json.loads(out)
    requests = result["requests"]
    assert result["partial"] is True
    assert 0 < requests["arrived"] < 400_000
    assert requests["finished"] + requests["rejected"] + requests["failed"] == requests["arrived"]
    assert 0 < result["finish_reasons"]["interrupted"] == requests["failed"]
    assert (tmp_path / "run/summary.json").read_text() == out
    assert (tmp_path / "run/requests.csv").read_text().count("\n") == requests["arrived"] + 1
    check = Command(tmp_path, ["journal", "check", "journal"])
    assert check.end()[0] == 0


def test_a_second_interrupt_leaves_at_once(tmp_path: Path) -> None:
    # The end is too quick to be met by a second signal, so this one's never comes.
    (tmp_path / "waits.py").write_text(
        "from pathlib import Path\n"
        "from deploy.run import replay\nfrom deploy.commands import replay as cli_replay\n"
        "from scheduler.runtime.clock import pause_s\n"
        "def run(self):\n"
        "    Path('runs').touch()\n"
        "    pause_s(60)\n"
        "replay.VirtualRuntime.run = run\n"
        "app = cli_replay.app\n"
    )
    program = (
        "import sys; sys.path.insert(0, '.'); from deploy.cli import LazyCommand, main\n"
        "sys.exit(main(commands={'replay': LazyCommand('waits', '')}))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, "replay", str(MILLION), "--limit", "100", "--json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline_s = time.monotonic() + UP_S
    while not (tmp_path / "runs").exists():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    for _ in range(2):
        time.sleep(WORK_S)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert process.communicate(timeout=30) == ("", "supernode: interrupted\n")
    assert process.returncode == 130
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("number", "arguments", "sign"),
    [
        (signal.SIGINT, "trace generate --workload WORKLOAD --out made.jsonl", "made.jsonl.part"),
        (signal.SIGTERM, "trace generate --workload WORKLOAD --out made.csv.gz", "made.csv.gz.part"),
        (signal.SIGINT, "trace convert WORKLOAD made.csv", "made.csv.part"),
        (signal.SIGINT, "trace describe WORKLOAD", None),
    ],
)
def test_a_trace_command_leaves_nothing_half_written(
    tmp_path: Path, number: signal.Signals, arguments: str, sign: str | None
) -> None:
    workload = tmp_path / "endless.yaml"
    workload.write_text(MILLION.read_text().replace("1_000_000", "1_000_000_000"))
    command = Command(tmp_path, arguments.replace("WORKLOAD", workload.name).split())
    command.interrupt(number, tmp_path / sign if sign else None)
    assert command.end() == (130, "", "supernode: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == [workload.name]
