"""A disk that is full leaves what was there, and is one line."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.terminal.whole_file import write_whole
from scheduler.protocol.errors import InputError

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_was_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    write_whole(path, b"before")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"summary\.json: cannot be written: No space left on device; make room"):
        write_whole(path, b"after")
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"before"]


@pytest.mark.parametrize("is_records", [False, True])
def test_a_replay_still_says_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_records: bool
) -> None:
    if is_records:
        monkeypatch.setattr("deploy.run.replay.write_records", full)
    else:
        monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["replay", DEMO, "--limit", "20", "--json", "--out", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert '"requests"' in out
    assert err.count("\n") == 1
    assert "cannot be written: No space left on device; make room" in err
    assert not [one.name for one in tmp_path.iterdir() if not one.stat().st_size]
