"""Means and intervals over several seeds."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.cli import main
from deploy.statistics.intervals import T_975, interval
from deploy.statistics.seeds import MAX_SEEDS

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")
RUN = ["--limit", "60", "--rate-scale", "20"]


def test_an_interval_is_that_of_the_books() -> None:
    # s of 1..5 is sqrt(2.5); t with 4 degrees of freedom 2.776.
    found = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.mean == 3.0
    assert found.high - found.mean == found.mean - found.low == pytest.approx(2.776 * 2.5**0.5 / 5**0.5)
    assert interval([1.0, 3.0]).high == pytest.approx(2 + 12.706)


def test_the_table_has_a_row_for_each_number_of_seeds_and_falls_to_that_of_the_normal_distribution() -> None:
    assert len(T_975) == MAX_SEEDS - 1
    assert all(one > other > 1.96 for one, other in pairwise(T_975))


@given(value=st.floats(-1e6, 1e6), num=st.integers(2, MAX_SEEDS))
def test_what_does_not_vary_has_no_width(value: float, num: int) -> None:
    found = interval([value] * num)
    assert found.low == found.mean == found.high == value


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_replay_has_the_mean_of_its_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    single = [run(capsys, "replay", DEMO, *RUN, "--policy", "random", "--seed", seed) for seed in ("5", "6")]
    found = run(capsys, "replay", DEMO, *RUN, "--policy", "random", "--seed", "5", "--seeds", "2")
    assert found["ttft_s"] == single[0]["ttft_s"] != single[1]["ttft_s"]
    seeds = found["seeds"]
    assert (seeds["num"], seeds["first"]) == (2, 5)
    p90_s = [one["ttft_s"]["p90"] for one in single]
    assert seeds["ttft_s"]["p90"]["mean"] == pytest.approx(sum(p90_s) / 2, rel=1e-5)
    assert seeds["ttft_s"]["p90"]["low"] < min(p90_s) < max(p90_s) < seeds["ttft_s"]["p90"]["high"]
    assert "slo" not in seeds  # no limits were given


def test_without_chance_all_seeds_agree_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--policy", "cloudmatrix,random", "--seeds", "2", "--jobs", "1", "--slo", "ttft=1s"]
    sure, unsure = run(capsys, "compare", "--trace", DEMO, *RUN, *arguments)["variants"]
    p50_s = sure["seeds"]["ttft_s"]["p50"]
    assert p50_s["low"] == p50_s["high"] == pytest.approx(sure["run"]["ttft_s"]["p50"], rel=1e-5)
    assert unsure["seeds"]["ttft_s"]["p50"]["low"] < unsure["seeds"]["ttft_s"]["p50"]["high"]
    assert sure["seeds"]["slo"]["attainment"]["mean"] == 1.0
    assert main(["compare", "--trace", DEMO, *RUN, *arguments, "--fail-if", "seeds.ttft_s.p50.high>0"]) == 1
    out = capsys.readouterr().out
    assert "Mean of 2 seeds, +- 95 % (t)" in out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--seeds", "1"], "--seeds is 1; give a number of runs from 2 to 30"),
        (["--seeds", "31"], "--seeds is 31; give a number of runs from 2 to 30"),
        (["--seeds", "2", "--out", "run"], "--seeds runs on the virtual clock and writes no files"),
        (["--seeds", "2", "--fail-if", "seeds.ttft_s.p51.high>1"], "no such path; near: "),
        (["--fail-if", "seeds.ttft_s.p50.high>1"], "no such path"),
    ],
)
def test_what_cannot_be_is_one_line(options: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", DEMO, *RUN, *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
