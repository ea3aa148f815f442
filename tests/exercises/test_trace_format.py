"""Exercise: a trace format in one file is detected, described, replayed, converted, and its bad rows told."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from scheduler.sources.traces.format import FORMATS
from tests.exercises.one_file import add_file, run

Captured = pytest.CaptureFixture[str]

ROWS = ("id,tokens_out,start_ms,tokens_in", *(f"{i},{40 + i},{1_700_000_000 + 250 * i}.5,{600 + i}" for i in range(20)))


@pytest.fixture(autouse=True)
def _added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_file("proxy_log", "scheduler.sources.traces.formats", FORMATS, tmp_path, monkeypatch)
    monkeypatch.delitem(sys.modules, "deploy.commands.trace", raising=False)  # its help lists the formats


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text("\n".join(ROWS), encoding="utf-8")
    return path


def test_it_is_detected_described_and_converted(log: Path, capsys: Captured) -> None:
    for options in ((), ("--format", "proxy_log")):
        code, out, err = run(capsys, "trace", "describe", log, *options, "--json")
        assert code == 0, err
        trace = json.loads(out)["trace"]
        assert (trace["requests"], trace["arrivals"]["span_s"]) == (20, 4.75)
    code, out, _ = run(capsys, "trace", "convert", log, log.with_suffix(".jsonl"), "--json")
    assert (code, json.loads(out)["requests"]) == (0, 20)
    assert json.loads(log.with_suffix(".jsonl").read_text().splitlines()[2]) == {
        "timestamp": 500,
        "input_length": 602,
        "output_length": 42,
    }


def test_it_is_replayed(log: Path, capsys: Captured) -> None:
    code, out, err = run(capsys, "replay", log, "--plan", "1x16p+1x16d+4c", "--json")
    assert code == 0, err
    assert json.loads(out)["requests"]["finished"] == 20


def test_its_class_column_is_read_where_there_is_one_and_failures_are_left_out(
    tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "tiers.csv"
    path.write_text(
        'tier,start_ms,tokens_in,tokens_out\ngold,0,5,5\n,1,5,5\nlead,2,5,0\n"tin",3,5,5\n', encoding="utf-8"
    )
    code, out, err = run(capsys, "trace", "convert", path, tmp_path / "tiers.jsonl", "--json")
    assert (code, json.loads(out)["skipped"]) == (0, {"bad": 0, "failed": 1})
    assert err == "left out 1 rows without response tokens (requests that failed in the log)\n"
    rows = [json.loads(line) for line in (tmp_path / "tiers.jsonl").read_text().splitlines()]
    assert [row.get("class") for row in rows] == ["gold", None, "tin"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("20,1,1700005000,", "log.csv:22: tokens_in: '' is not an integer; give an integer from 1 to 10000000"),
        ("20,-1,1700005000,1", "log.csv:22: tokens_out: '-1' is less than 0; give an integer from 0 to 10000000"),
        (
            "20,1,noon,1",
            "log.csv:22: start_ms: 'noon' is not a number of milliseconds; give milliseconds such as 45 or 45.5, "
            "at most 12 digits before the point",
        ),
        (
            "20,1,3,1",
            "log.csv:22: start_ms: time runs back by 1.7e+06 s from the row before; sort the rows by time, "
            "or have them sorted by --sort",
        ),
    ],
)
def test_a_bad_row_is_told_with_its_place(
    row: str, told: str, log: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(log.parent)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\n{row}\n")
    assert run(capsys, "trace", "describe", "log.csv") == (2, "", f"supernode: {told}\n")


def test_it_is_among_the_hints(log: Path, capsys: Captured) -> None:
    code, _, err = run(capsys, "replay", log, "--format", "proxylog")
    assert code == 2
    assert "unknown format 'proxylog'; did you mean proxy_log? known: agentic_mooncake, aiperf, " in err
    log.write_text("a,b,c\n1,2,3\n", encoding="utf-8")
    code, _, err = run(capsys, "trace", "describe", log)
    assert code == 2
    assert "start_ms,tokens_in,tokens_out (proxy_log)" in err
    _, out, _ = run(capsys, "trace", "describe", "--help")
    assert "proxy_log" in out
