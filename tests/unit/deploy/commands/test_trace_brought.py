"""Traces as people bring them: each command finds the same in them, and what is right."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main
from tests.unit.scheduler.sources.trace_rows import mooncake_line, write_lines

Captured = pytest.CaptureFixture[str]

SMALL = ("--plan", "1x16p+1x160d+48c")


def ask(capsys: Captured, *arguments: object) -> Any:
    """The answer of a command in JSON."""
    code = main([*map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out)


def hits_everywhere(capsys: Captured, folder: Path, trace: Path, *options: object) -> set[int]:
    """Prompt tokens that each command finds cached of what came before, rows far apart."""
    ssd, parts = folder / "ssd.yaml", folder / "parts.yaml"
    ssd.write_text("cache_ssd_bytes_per_server: 1.0e+12\n")
    parts.write_text("cache_block_tokens: 128\n")
    described = ask(capsys, "trace", "describe", trace, *options)["trace"]
    found = {described["sharing"]["hit_tokens"]}
    total = described["prompt_tokens"]["total"]
    curve = ask(capsys, "cache", "curve", trace, *options)["rows"][-1]
    columns = ("pool", "one_list", "each_alone", "with_ssd")
    found |= {round(curve[column] * total) for column in columns}
    for more in ((), ("--config", ssd), ("--cache", "local"), ("--policy", "cache_aware")):
        found.add(ask(capsys, "replay", trace, *SMALL, *more, *options)["cache"]["hit_tokens"])
    return found


def test_ids_of_texts_share_beginnings_only_for_every_command(tmp_path: Path, capsys: Captured) -> None:
    rows = [(0, [40, 41, 42]), (20_000, [41, 42, 50]), (40_000, [42, 41, 40])]
    path = write_lines(tmp_path / "t.jsonl", *[mooncake_line(at, 1300, 4, hash_ids=ids) for at, ids in rows])
    assert hits_everywhere(capsys, tmp_path, path) == {0}
    assert hits_everywhere(capsys, tmp_path, path, "--block-ids", "text") == {0}


def test_no_id_finds_more_than_was_computed(tmp_path: Path, capsys: Captured) -> None:
    rows = [mooncake_line(0, 90, 4, hash_ids=[7]), mooncake_line(20_000, 512, 4, hash_ids=[7])]
    path = write_lines(tmp_path / "t.jsonl", *rows)
    assert hits_everywhere(capsys, tmp_path, path) == {0}


def test_an_end_that_no_id_covers_is_found_by_nobody(tmp_path: Path, capsys: Captured) -> None:
    rows = [mooncake_line(at, 1100, 4, hash_ids=[7, 8]) for at in (0, 20_000)]
    assert hits_everywhere(capsys, tmp_path, write_lines(tmp_path / "t.jsonl", *rows)) == {1024}


def test_seconds_and_ids_of_sixteen_tokens_are_what_they_are(tmp_path: Path, capsys: Captured) -> None:
    path = write_lines(
        tmp_path / "t.jsonl",
        '{"chat_id": 5, "timestamp": 0.0, "input_length": 47, "output_length": 7, "turn": 1, "hash_ids": [6, 7, 8]}',
        '{"chat_id": 6, "timestamp": 21.5, "input_length": 60, "output_length": 9, "hash_ids": [6, 7, 9, 3]}',
    )
    assert ask(capsys, "trace", "describe", path)["trace"]["arrivals"]["span_s"] == 21.5
    assert hits_everywhere(capsys, tmp_path, path) == {32}


def test_one_tenant_s_load_does_not_delay_another_in_a_fair_order(tmp_path: Path, capsys: Captured) -> None:
    rows = [mooncake_line(at, 50_000, 2, tenant=1) for at in range(12)] + [mooncake_line(12, 500, 2, tenant=2)]
    path = write_lines(tmp_path / "t.jsonl", *rows)
    ended: dict[str, float] = {}
    for order in ("fcfs", "fair", "shortest"):
        ask(capsys, "replay", path, *SMALL, "--order", order, "--out", tmp_path / order)
        with (tmp_path / order / "requests.csv").open() as file:
            ended[order] = float(list(csv.DictReader(file))[-1]["e2e_s"])
    assert ended["fair"] == ended["shortest"] < ended["fcfs"] / 3


def test_answers_that_are_kept_are_found_by_the_next_turn(tmp_path: Path, capsys: Captured) -> None:
    rows = [
        mooncake_line(0, 512, 1536, session_id="x", hash_ids=[4]),
        mooncake_line(90_000, 3000, 9, session_id="x", hash_ids=[4, 5, 6, 7, 8, 9]),
    ]
    path, keeping = write_lines(tmp_path / "t.jsonl", *rows), tmp_path / "keeping.yaml"
    keeping.write_text("cache_answers: true\n")
    assert ask(capsys, "replay", path, *SMALL)["cache"]["hit_tokens"] == 512
    # Of prompt and answer all but the last token have KV: three whole blocks.
    assert ask(capsys, "replay", path, *SMALL, "--config", keeping)["cache"]["hit_tokens"] == 1536


def test_a_window_is_replayed_alone(tmp_path: Path, capsys: Captured) -> None:
    table = ("Timestamp,Request tokens,Response tokens", "0,9,5", "40000,20,5", "40000,30,5", "40001,40,5")
    path = write_lines(tmp_path / "t.csv", *table)
    assert main(["replay", str(path), *SMALL, "--from", "40000s", "--spread", "even", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["requests"]["arrived"] == 3
    assert "left out 1 rows before the window" in err


def test_fields_that_nobody_reads_are_named_once_by_every_command(tmp_path: Path, capsys: Captured) -> None:
    rows = [mooncake_line(time, 9, hash_ids=[1], gpu=1) for time in (0, 5)]
    path = write_lines(tmp_path / "t.jsonl", *rows)
    compared = ("compare", "--policy", "random,round_robin", "--jobs", "1", "--trace")
    for command in (("trace", "describe"), ("replay",), ("cache", "curve"), compared):
        assert main([*command, str(path)]) == 0
        told = [line for line in capsys.readouterr().err.splitlines() if "not read" in line]
        assert told == ["fields that are not read: gpu (of 2 rows); --strict refuses them"]
        assert main([*command, str(path), "--strict"]) == 2
        assert "t.jsonl:1: gpu: is not read; leave the field out" in capsys.readouterr().err


def test_a_trace_is_not_converted_onto_itself(tmp_path: Path, capsys: Captured) -> None:
    path = write_lines(tmp_path / "t.jsonl", mooncake_line(0))
    text = path.read_text()
    (tmp_path / "link.jsonl").hardlink_to(path)
    for out in (path, tmp_path / "link.jsonl"):
        assert main(["trace", "convert", str(path), str(out)]) == 2
        assert "would overwrite what is read; name another file" in capsys.readouterr().err
        assert path.read_text() == text


@pytest.mark.parametrize("command", [("trace", "describe"), ("replay",), ("cache", "curve")])
@pytest.mark.parametrize(
    ("option", "value"),
    [("--time-unit", "min"), ("--block-ids", "x"), ("--columns", "a=b"), ("--from", "azure"), ("--assume-shared", "2")],
)
def test_every_command_reads_the_same_options(
    tmp_path: Path, capsys: Captured, command: tuple[str, ...], option: str, value: str
) -> None:
    path = write_lines(tmp_path / "t.jsonl", mooncake_line(0))
    assert main([*command, str(path), option, value]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"supernode: {option.removeprefix('--')}")
    assert told.count("\n") == 1
