"""`supernode journal`: what is no sound journal is one line, and what can be saved of one is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.http.accepted.file import AcceptedFile
from deploy.http.accepted.records import Accepted, Ended, Outcome
from deploy.run.replay import ReplayJob, replay_virtual
from deploy.settings.settings import Settings
from scheduler.gateway.gateway_source import ClientRequest
from scheduler.protocol.finish import FinishReason
from scheduler.runtime.journal import JournalHeader, JournalWriter
from scheduler.sources.traces.options import TraceOptions

Captured = pytest.CaptureFixture[str]
DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The journal of a short run."""
    path = tmp_path / "journal"
    replay_virtual(ReplayJob(DEMO, TraceOptions(limit=20), Settings.from_plain({}), str(path)))
    return path


def refusal(capsys: Captured, *arguments: str | Path) -> str:
    """The one line of a command that must end with exit 2."""
    code = main(["journal", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("supernode: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("command", ["check", "replay"])
def test_what_is_no_journal_is_one_line(tmp_path: Path, capsys: Captured, command: str) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert "not a journal" in refusal(capsys, command, DEMO)
    assert "give one that replay --journal wrote" in refusal(capsys, command, tmp_path / "empty")
    assert "No such file" in refusal(capsys, command, tmp_path / "none")
    assert "Is a directory" in refusal(capsys, command, tmp_path)
    assert "missing argument 'FILE'" in refusal(capsys, command)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_journal_that_is_cut_short_is_one_line_and_can_be_repaired(
    journal: Path, tmp_path: Path, capsys: Captured, share: float
) -> None:
    data = journal.read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(data[: int(len(data) * share)])
    for command in ("check", "replay"):
        assert "supernode journal repair" in refusal(capsys, command, cut)
    if share < 0.1:  # the header itself is gone
        refusal(capsys, "repair", cut, tmp_path / "mended")
        return
    assert main(["journal", "repair", str(cut), str(tmp_path / "mended"), "--json"]) == 0
    kept = json.loads(capsys.readouterr().out)["inputs"]
    assert kept > 0
    assert main(["journal", "replay", str(tmp_path / "mended")]) == 0


def test_a_changed_byte_is_found(journal: Path, capsys: Captured) -> None:
    data = bytearray(journal.read_bytes())
    data[len(data) // 2] ^= 1
    journal.write_bytes(data)
    refusal(capsys, "check", journal)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "names no block_tokens"),
        ({"block_tokens": "x"}, "block_tokens is 'x'; give an integer"),
        ({"block_tokens": 512, "plan": 3}, "plan is 3; give a valid string"),
        ({"block_tokens": 512, "policy": "x"}, "policy: unknown value 'x'"),
        ({"block_tokens": 512, "colour": "x"}, "unknown key 'colour'"),
    ],
)
def test_a_header_that_no_run_has_written_is_one_line(
    tmp_path: Path, capsys: Captured, config: dict[str, object], problem: str
) -> None:
    path = tmp_path / "journal"
    with JournalWriter(path, JournalHeader(config=config)):
        pass
    assert problem in refusal(capsys, "replay", path)


def test_a_file_of_accepted_requests_is_checked_and_repaired(tmp_path: Path, capsys: Captured) -> None:
    path, mended = tmp_path / "accepted", tmp_path / "mended"
    file = AcceptedFile(path)
    for number, key in enumerate((b"", b"key", b"")):
        one = Accepted(f"cmpl-{number}", 1, key, key, ClientRequest(10, 5, []))
        file.accept(one)
        if number:
            file.end(one, Ended(one.request_id, 2, Outcome(FinishReason.STOP, 5, 0, {})))
    assert main(["journal", "check", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"file": str(path), "records": 5, "open": 1, "kept": 1, "sound": True}
    path.write_bytes(path.read_bytes()[:-3])
    assert "supernode journal repair" in refusal(capsys, "check", path)
    assert "would overwrite" in refusal(capsys, "repair", path, path)
    assert main(["journal", "repair", str(path), str(mended), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["records"] == 4
    assert main(["journal", "check", str(mended), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["open"] == 2
    assert "not a journal" in refusal(capsys, "replay", path)
