"""How many requests a file will bring, counted a piece at a time."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from deploy.run import trace_total
from deploy.run.trace_total import TraceTotal
from scheduler.sources.traces.options import TraceOptions

HEADER = b"TIMESTAMP,ContextTokens,GeneratedTokens\n"


@pytest.mark.parametrize(
    ("name", "data", "options", "total"),
    [
        ("t.jsonl", b"{}\n" * 9, TraceOptions(), 9),
        ("t.jsonl", b"\n{}\n" * 4 + b"{}", TraceOptions(), 9),
        ("t.csv", HEADER + b"row\n" * 9, TraceOptions(), 9),
        ("t.csv", HEADER + b"row", TraceOptions(superpose=30), 30),
        ("t.csv", HEADER + b"row\n" * 9, TraceOptions(limit=5, superpose=3), 15),
        ("t.csv", HEADER + b"row\n" * 9, TraceOptions(limit=50, superpose=3), 27),
        ("t.jsonl.gz", gzip.compress(b"{}\n" * 9), TraceOptions(), 9),
        ("t.jsonl.gz", gzip.compress(b"{}\n" * 9)[:-5], TraceOptions(), None),
    ],
)
def test_lines_are_counted(tmp_path: Path, name: str, data: bytes, options: TraceOptions, total: int | None) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    counted = TraceTotal(str(path), options, None)
    assert [counted(), counted()] == [total, total]


def test_a_long_file_is_counted_over_several_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_total, "CHUNKS_A_LOOK", 1)
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"a": 1}\n' * 60_000)
    counted = TraceTotal(str(path), TraceOptions(), None)
    answers = [counted() for _ in range(6)]
    assert answers[0] is None
    assert answers[-1] == 60_000


def test_what_is_known_is_not_counted_and_a_folder_cannot_be(tmp_path: Path) -> None:
    assert TraceTotal("no-such-file", TraceOptions(), 7)() == 7
    assert TraceTotal("no-such-file", TraceOptions(), None)() is None
    assert TraceTotal(str(tmp_path), TraceOptions(), None)() is None
