"""`supernode cache`: what a pool finds in a trace, and what reuse is worth."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What the command prints as JSON."""
    assert main(["cache", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_pool_is_one_list_at_every_size(capsys: pytest.CaptureFixture[str]) -> None:
    rows = answer(capsys, "curve", "demo.jsonl", "--limit", "300")["rows"]
    assert len(rows) == 8
    for row in rows:
        assert row["pool"] == row["one_list"] >= row["each_alone"]
        assert row["with_ssd"] >= row["pool"]
    assert all(one["pool"] <= other["pool"] for one, other in pairwise(rows))


def test_the_more_is_reused_the_sooner_and_ub_is_faster_the_more_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    rows = answer(capsys, "reuse", "--prompt-tokens", "2048")["rows"]
    assert [row["reuse"] for row in rows] == [0.0, 0.25, 0.5, 0.75]
    for plane in ("ub", "vpc"):
        assert all(one["ttft_s"][plane] > other["ttft_s"][plane] for one, other in pairwise(rows))
        rates = [row["tokens_per_s_per_npu"][plane] for row in rows]
        assert rates == sorted(rates)
    assert all(row["ttft_s"]["ub"] < row["ttft_s"]["vpc"] for row in rows[1:])


@pytest.mark.parametrize(
    ("text", "arguments", "line"),
    [
        ("", ["--prompt-tokens", "1000"], "--prompt-tokens is 1000; give a multiple of 512 up to 65,536"),
        ("cache: none\n", [], "cache is none; planes are compared with cache: pool"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, arguments: list[str], line: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(text or "seed: 1\n")
    assert main(["cache", "reuse", "--config", str(config), *arguments]) == 2
    assert capsys.readouterr().err == f"supernode: {line}\n"


@pytest.mark.parametrize("ssd", ["nan", "inf", "-1"])
def test_ssd_that_is_no_multiple_of_the_dram_is_refused(ssd: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "curve", "demo.jsonl", "--limit", "3", "--ssd", ssd]) == 2
    assert capsys.readouterr().err.endswith("; give a multiple of the DRAM from 0 to 10,000\n")


def test_a_trace_without_ids_has_no_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plain.csv"
    path.write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n0.0,300,10\n")
    assert main(["cache", "curve", str(path)]) == 2
    assert "no prompt has block ids" in capsys.readouterr().err
