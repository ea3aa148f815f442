"""Verdicts on differences, and warnings of runs that allow none."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.cli import main
from deploy.statistics.batches import MIN_REQUESTS, NUM_BATCHES, BatchMeans, batch_means
from deploy.statistics.intervals import interval, series_interval
from deploy.statistics.run_quality import quality_lines
from deploy.statistics.verdicts import verdicts_of_batches, verdicts_of_seeds
from scheduler.core.request_table import RequestTable
from scheduler.metrics.records import Records
from scheduler.metrics.slo import Slo
from scheduler.protocol.finish import FinishReason

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")


def records_of(queue_s: NDArray[np.floating[Any]], prefill_s: float = 0.1) -> Records:
    """One request a second that waits so long, is prefilled, and ends a second after its first token."""
    num = len(queue_s)
    table = RequestTable()
    for request_id in range(num):
        table.add(request_id * 10**9, [100])
    started = (np.arange(num) * 10**9 + queue_s * 1e9).astype(np.int64)
    first = started + int(prefill_s * 1e9)
    table.prefill_started_ns = array("q", started.tolist())
    table.first_token_ns = array("q", first.tolist())
    table.decode_started_ns = array("q", first.tolist())
    table.last_token_ns = array("q", (first + 10**9).tolist())
    table.ended_ns = array("q", (first + 10**9).tolist())
    table.output_tokens = array(table.output_tokens.typecode, [11] * num)
    table.reason = bytearray([FinishReason.STOP] * num)
    return Records(table)


def run_of(**figures: float) -> dict[str, Any]:
    return {
        "ttft_s": {"p50": figures["ttft"]},
        "throughput": {"requests_per_s": figures["rate"]},
        "slo": {"attainment": figures["attained"], "goodput_requests_per_s": None},
    }


def test_less_time_and_more_served_is_better_and_what_varies_more_than_it_differs_is_not_shown() -> None:
    before = [run_of(ttft=1.0 + 0.1 * i, rate=5.0 - 0.1 * i, attained=0.9) for i in range(4)]
    after = [run_of(ttft=0.8 + 0.1 * i, rate=6.0 - 0.1 * i, attained=0.9 + 0.01 * (-1) ** i) for i in range(4)]
    found = verdicts_of_seeds("before", before, after).figures
    assert {path: one.verdict for path, one in found.items()} == {
        "ttft_s.p50": "better",
        "throughput.requests_per_s": "better",
        "slo.attainment": "no difference shown",
    }
    assert found["ttft_s.p50"].interval.mean == pytest.approx(-0.2)
    back = verdicts_of_seeds("after", after, before).figures
    assert [one.verdict for one in back.values()] == ["worse", "worse", "no difference shown"]


def test_pairs_cancel_what_both_have() -> None:
    """Bursts that move both by far more than they differ hide nothing."""
    draws = np.random.default_rng(1)
    bursts = draws.normal(10.0, 3.0, NUM_BATCHES)
    other = BatchMeans(7, {"ttft_s.mean": bursts.tolist()})
    run = BatchMeans(7, {"ttft_s.mean": (bursts - 0.1 + draws.normal(0, 0.05, NUM_BATCHES)).tolist()})
    assert verdicts_of_batches("other", other, run).figures["ttft_s.mean"].verdict == "better"
    assert "--seeds" in verdicts_of_batches("other", other, BatchMeans(8, run.figures)).why_not
    assert "too few" in verdicts_of_batches("other", BatchMeans(7, {}), BatchMeans(7, {})).why_not


def test_neighbours_that_resemble_each_other_tell_less() -> None:
    values = [1.0, 1.2, 1.1, 1.3] * 5
    alike = sorted(values)
    assert series_interval(values) == interval(values)
    assert series_interval(alike).high - series_interval(alike).mean > 2 * (interval(alike).high - interval(alike).mean)
    # Between them 95 of 100 intervals should hold the mean of a series with r = 0.5; independent ones hold far fewer.
    draws = np.random.default_rng(3)
    held = independent = 0
    for _ in range(400):
        series = [0.0]
        for step in draws.normal(0, 1, NUM_BATCHES + 20):
            series.append(0.5 * series[-1] + float(step))
        tail = series[-NUM_BATCHES:]
        found, plain = series_interval(tail), interval(tail)
        held += found.low <= 0 <= found.high
        independent += plain.low <= 0 <= plain.high
    assert held >= 0.88 * 400 > 0.80 * 400 > independent


def test_batches_are_means_in_order_of_arrival() -> None:
    queue_s = np.repeat(np.arange(NUM_BATCHES), 10) * 0.01
    means = batch_means(records_of(queue_s), Slo(ttft_s=0.2))
    assert means.figures["ttft_s.mean"] == pytest.approx((0.1 + 0.01 * np.arange(NUM_BATCHES)).tolist())
    assert means.figures["slo.attainment"] == [1.0] * 11 + [0.0] * 9
    assert means.figures["tpot_s.mean"] == pytest.approx([0.1] * NUM_BATCHES)
    assert batch_means(records_of(queue_s[: MIN_REQUESTS - 1]), None).figures == {}


def test_a_queue_without_end_is_told_and_one_that_comes_and_goes_is_not() -> None:
    draws = np.random.default_rng(2)
    grows = np.linspace(0.0, 30.0, 1200, dtype=np.float64) + draws.exponential(0.5, 1200)
    [line] = quality_lines(records_of(grows))
    assert line.startswith("saturated: ")
    assert quality_lines(records_of(draws.exponential(5.0, 1200))) == []
    waves = 10 + 9 * np.sin(np.linspace(0, 12, 1200))
    assert quality_lines(records_of(waves)) == []
    slight = np.linspace(0.0, 0.05, 1200)  # grows by less than a prompt takes
    assert quality_lines(records_of(slight)) == []


def test_a_percentile_of_few_is_told() -> None:
    [line] = quality_lines(records_of(np.zeros(500)))
    assert (
        line == "too short for its p99: 5 of 500 requests lie above it, 10 should; give it 1,000 requests or --seeds N"
    )


def test_compare_gives_verdicts_against_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", "--trace", DEMO, "--policy", "cloudmatrix,random", "--rate-scale", "20"]
    assert main([*arguments, "--limit", "400", "--jobs", "1", "--json"]) == 0
    answer = capsys.readouterr()
    first, other = json.loads(answer.out)["variants"]
    assert "verdicts" not in first
    verdicts = other["verdicts"]
    assert (verdicts["against"], verdicts["basis"]) == ("cloudmatrix", "batches")
    assert verdicts["figures"]["ttft_s.mean"]["verdict"] == "worse"
    assert "too short for its p99" in answer.err
    assert main([*arguments, "--limit", "100", "--jobs", "1", "--seeds", "3", "--json"]) == 0
    _, other = json.loads(capsys.readouterr().out)["variants"]
    assert other["verdicts"]["basis"] == "seeds"
    assert other["verdicts"]["figures"]["ttft_s.p50"]["low"] <= other["verdicts"]["figures"]["ttft_s.p50"]["high"]
