"""`supernode cache curve`: with the oracle and without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.cli import main

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")


def test_no_column_of_dram_is_above_the_oracle_and_it_is_there_only_if_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    curve = ["cache", "curve", DEMO, "--limit", "400"]
    assert main([*curve, "--oracle", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    oracle = [row.pop("oracle") for row in rows]
    assert oracle == sorted(oracle)
    assert oracle[-1] == rows[-1]["pool"] > 0
    assert all(max(row["pool"], row["one_list"], row["each_alone"]) <= best for row, best in zip(rows, oracle))
    assert main([*curve, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == rows
    assert main([*curve, "--oracle"]) == 0
    head, columns, *_ = capsys.readouterr().out.splitlines()
    assert head.startswith("demo.jsonl: ")
    assert columns.split() == ["DRAM", "pool", "one", "list", "each", "alone", "with", "SSD", "from", "SSD", "oracle"]
