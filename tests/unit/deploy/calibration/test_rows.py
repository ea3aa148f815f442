"""Files of measurements: what rows and results say, and one line for what they cannot say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.calibration.measurement import CollectivePoint
from deploy.calibration.rows import read_measurements
from deploy.cli import main
from sim_hw.clusters.supernode import Overlap
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint

Written = Callable[[str, str], str]
Captured = pytest.CaptureFixture[str]

VLLM: dict[str, Any] = {
    "completed": 400,
    "request_throughput": 2.0,
    "total_input_tokens": 400_000,
    "total_output_tokens": 40_000,
    "mean_tpot_ms": 50.0,
}
AIPERF: dict[str, Any] = {
    "request_throughput": {"unit": "requests/sec", "avg": 2.0},
    "input_sequence_length": {"unit": "tokens", "avg": 1000.0},
    "output_sequence_length": {"unit": "tokens", "avg": 100.0},
    "inter_token_latency": {"unit": "ms", "avg": 50.0, "p99": 70.0},
}


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes a file, and tells its path."""

    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def test_rows_of_each_stage(written: Written) -> None:
    path = written(
        "rows.yaml",
        """
cluster: cloudmatrix384
microbatch: off
rows:
  - {batch: 38, context: 4250, npus: 16, mtp: 1, acceptance: 0.5, reserve: 0.03, tpot_s: 48ms, spread: 0.1}
  - {stage: prefill, npus: 16, batch_tokens: 4096, prompt: 2048, tokens_per_s_per_npu: 5000}
  - {stage: operator, operator: combine, ep: 32, batch: 128, latency_s: 146us, name: combine}
""",
    )
    decode, prefill, collective = read_measurements(path)
    assert isinstance(decode.point, DecodePoint)
    assert (decode.point.batch_per_npu, decode.point.ep, decode.point.overlap) == (38, 32, Overlap.NONE)
    assert decode.seconds == pytest.approx(0.048 * 1.5)
    assert decode.metric.value(decode.seconds) == pytest.approx(0.048)
    assert (decode.name, decode.spread) == ("rows[0]", 0.1)
    assert isinstance(prefill.point, PrefillPoint)
    assert prefill.seconds == pytest.approx(4096 / 5000)
    assert isinstance(collective.point, CollectivePoint)
    assert (collective.name, collective.seconds) == ("combine", pytest.approx(146e-6))


def test_a_table_says_the_same_as_yaml(written: Written) -> None:
    table = written("a.csv", "batch,context,npus,mtp,tpot_s\n8,4096,160,1,14.9ms\n\n96,4096,160,,0.05\n")
    yaml = written(
        "a.yaml",
        "rows:\n  - {batch: 8, context: 4096, npus: 160, mtp: 1, tpot_s: 0.0149}\n"
        "  - {batch: 96, context: 4096, npus: 160, tpot_s: 0.05}\n",
    )
    assert read_measurements(table) == read_measurements(yaml)


def test_served_rows_follow_littles_law(written: Written) -> None:
    path = written(
        "a.yaml",
        "rows:\n  - {npus: 16, reserve: 0.03, requests_per_s: 8.46, prompt: 3500, output: 1500, tpot_s: 0.0481}\n",
    )
    (row,) = read_measurements(path)
    assert isinstance(row.point, DecodePoint)
    assert row.point.batch_per_npu == round(8.46 * 1499 * 0.0481 / 16) == 38
    assert row.point.context_tokens == 4250


@pytest.mark.parametrize(
    ("name", "document"),
    [("vllm.json", VLLM), ("aiperf.json", AIPERF), ("sglang.jsonl", {**VLLM, "accept_length": 1.7})],
)
def test_results_of_benchmarks_agree(written: Written, name: str, document: dict[str, Any]) -> None:
    (row,) = read_measurements(written(name, json.dumps(document)), {"npus": 16, "mtp": 1})
    assert isinstance(row.point, DecodePoint)
    assert (row.point.batch_per_npu, row.point.context_tokens) == (round(2 * 0.05 * 99 / 16) or 1, 1050)
    assert row.metric.value(row.seconds) == pytest.approx(0.050)
    assert row.point.tokens_per_iteration == pytest.approx(1.7)


def test_a_file_of_lines_has_a_run_in_each(written: Written) -> None:
    lines = "\n".join(json.dumps({**VLLM, "request_throughput": rate}) for rate in (2.0, 60.0))
    first, second = read_measurements(written("runs.jsonl", lines), {"npus": 16})
    assert isinstance(first.point, DecodePoint)
    assert isinstance(second.point, DecodePoint)
    assert first.point.batch_per_npu < second.point.batch_per_npu
    assert [first.name, second.name] == ["runs", "runs[1]"]


def test_a_row_may_name_its_result(written: Written) -> None:
    written("run.json", json.dumps(VLLM))
    (row,) = read_measurements(written("a.yaml", "rows:\n  - {npus: 16, result: run.json}\n"))
    assert row.seconds == pytest.approx(0.05 * 1.7)


GOOD = "batch: 8, context: 4096, tpot_s: 15ms"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("rows: [{" + GOOD + ", bach: 3}]", ["a.yaml:1", "rows[0].bach", "not known", "batch"]),
        ("rows:\n  - {" + GOOD.replace("8", "x") + "}", ["a.yaml:2", "rows[0].batch", "integer"]),
        ("rows:\n  - {batch: 8, context: 4096}", ["a.yaml:2", "rows[0]", "nothing that was measured", "tpot_s"]),
        ("rows:\n  - {" + GOOD + ", iteration_s: 1ms}", ["a.yaml:2", "rows[0]", "tpot_s and iteration_s"]),
        ("rows:\n  - {" + GOOD.replace("15ms", "0") + "}", ["a.yaml:2", "rows[0].tpot_s", "above 0"]),
        ("rows:\n  - {context: 4096, tpot_s: 15ms}", ["a.yaml:2", "rows[0].batch is missing"]),
        ("rows:\n  - {" + GOOD + ", ep: 100000}", ["a.yaml:2", "rows[0]", "lower npus"]),
        ("rows:\n  - {" + GOOD + ", cluster: nowhere}", ["a.yaml:2", "rows[0].cluster", "unknown", "known:"]),
        ("rows:\n  - {" + GOOD + ", stage: both}", ["a.yaml:2", "rows[0].stage", "decode or prefill"]),
        ("rows:\n  - {" + GOOD + ", spread: 3}", ["a.yaml:2", "rows[0].spread", "at most 1"]),
        ("rows:\n  - {" + GOOD + ", result: none.json}", ["none.json"]),
        ("colour: red\nrows:\n  - {" + GOOD + "}", ["a.yaml:1", "colour", "known:"]),
        ("rows: []", ["a.yaml", "no rows"]),
    ],
)
def test_a_bad_row_is_one_line_with_file_row_field_and_mend(
    written: Written, capsys: Captured, text: str, parts: list[str]
) -> None:
    assert main(["calibrate", written("a.yaml", text)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("a.csv", "batch,context,tpot\n8,4096,3\n", ["a.csv:1", "'tpot'", "tpot_s"]),
        ("a.csv", "batch,context,tpot_s\n8,4096\n", ["a.csv:2", "2 cells under 3"]),
        ("a.csv", "batch,context,tpot_s\n8,4096,fast\n", ["a.csv:2", "rows[0].tpot_s", "number"]),
        ("a.json", "{", ["a.json:1", "not JSON"]),
        ("a.json", "{}", ["a.json", "mean_tpot_ms", "inter_token_latency"]),
        ("a.json", json.dumps({**VLLM, "completed": 0}), ["run 1", "completed is 0"]),
        ("a.json", json.dumps({**AIPERF, "input_sequence_length": None}), ["input_sequence_length is missing"]),
        ("a.json", json.dumps({**AIPERF, "inter_token_latency": {"unit": "s", "avg": 1}}), ["'s'", "give it in ms"]),
        ("a.txt", "", ["a.txt", "no known kind", ".csv"]),
    ],
)
def test_a_bad_file_is_one_line(written: Written, capsys: Captured, name: str, text: str, parts: list[str]) -> None:
    assert main(["calibrate", written(name, text)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for part in parts:
        assert part in line
