"""Totals of one run agree wherever they are told, of a run with time-outs, losses, rejections and preemptions."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main
from tests.unit.deploy.run_folder.made import DEMO

FAULTS = """\
schedule:
  - {at: 40s, worker: decode-0, for: 20s}
  - {at: 60s, worker: prefill-1, for: 30s}
"""

SETTINGS = """\
plan: 2x16p+1x16d+4c
request_timeout_s: 30
max_open_requests: 200
names: own,vllm
"""


WAITING = """\
plan: 1x16p+1x16d+4c
request_timeout_s: 3
max_open_requests: 200
names: own,vllm
"""
"""No worker is lost, and prompts wait so long that some are not begun in time."""


class Run:
    """A run folder and the last sample of each series."""

    def __init__(self, folder: Path, settings: str, rate_scale: int, faults: str | None = None) -> None:
        trace = folder / "trace.jsonl"
        rows = Path(DEMO).read_text().splitlines()[:900]
        rows.insert(0, json.dumps({"timestamp": 0, "input_length": 190_000, "output_length": 10}))
        trace.write_text("\n".join(rows) + "\n")
        (folder / "settings.yaml").write_text(settings)
        command = ["replay", str(trace), "--config", str(folder / "settings.yaml"), "--rate-scale", str(rate_scale)]
        more = ["--openmetrics", str(folder / "scrapes")]
        if faults is not None:
            (folder / "faults.yaml").write_text(faults)
            more += ["--faults", str(folder / "faults.yaml")]
        assert main([*command, *more, "--out", str(folder / "run")]) == 0
        self.folder = folder / "run"
        self.summary: dict[str, Any] = json.loads((folder / "run" / "summary.json").read_text())
        with (folder / "run" / "requests.csv").open() as file:
            self.records = list(csv.DictReader(file))
        self.last: dict[str, float] = {}
        for line in (folder / "scrapes").read_text().splitlines():
            if not line.startswith("#"):
                name, value, _ = line.rsplit(" ", 2)
                self.last[name] = float(value)

    def sum_of(self, column: str, *reasons: str, with_first_token: bool = False) -> int:
        """Over records that ended for these reasons; all by default."""
        return sum(
            int(row[column])
            for row in self.records
            if (not reasons or row["finish_reason"] in reasons) and (not with_first_token or row["first_token_ns"])
        )

    def live(self, name: str) -> float:
        """All series of a family together."""
        return sum(value for series, value in self.last.items() if series.split("{")[0] == name)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("identities"), SETTINGS, 2, FAULTS)


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("waiting"), WAITING, 12)


FINISHED = ("stop", "length")


def test_the_run_has_what_could_tell_totals_apart(run: Run) -> None:
    reasons = {name for name, count in run.summary["finish_reasons"].items() if count}
    assert reasons >= {"stop", "overload", "too_long", "timed_out"}
    assert run.summary["requests"]["retried"]
    assert run.summary["tokens"]["wasted_output"]
    assert run.summary["tokens"]["wasted_prompt"]


def test_output_tokens_are_those_that_were_produced(run: Run) -> None:
    produced, span_s = run.sum_of("output_tokens"), run.summary["simulated_s"]
    tokens, energy, cost = run.summary["tokens"], run.summary["energy"], run.summary["cost"]
    assert tokens["output"] == produced == run.live("supernode_generation_tokens_total")
    assert tokens["wasted_output"] == produced - run.sum_of("output_tokens", *FINISHED)
    assert run.summary["throughput"]["output_tokens_per_s"] * span_s == pytest.approx(produced)
    assert energy["joules"] / energy["joules_per_output_token"] == pytest.approx(produced)
    assert energy["facility"]["joules"] / energy["facility_joules_per_output_token"] == pytest.approx(produced)
    assert energy["tokens_per_joule"] * energy["facility"]["joules"] == pytest.approx(produced)
    dollars = (
        cost["usd_per_million_input_tokens"] * tokens["prompt"]
        + cost["usd_per_million_output_tokens"] * tokens["output"]
    )
    assert dollars / 1e6 == pytest.approx(cost["usd"]) == pytest.approx(run.live("supernode_cost_dollars_total"))
    first_tokens = sum(bool(row["first_token_ns"]) for row in run.records)
    decoded = run.summary["per_npu"]["decode"]["tokens_per_s"] * 16 * span_s
    assert decoded == pytest.approx(produced - first_tokens)


def test_prompt_tokens_are_those_whose_first_token_came_out(run: Run) -> None:
    tokens, span_s = run.summary["tokens"], run.summary["simulated_s"]
    assert tokens["prompt"] == run.sum_of("prompt_tokens", with_first_token=True)
    assert tokens["prompt"] == run.live("supernode_prompt_tokens_total")
    assert tokens["prompt"] - tokens["wasted_prompt"] == run.sum_of("prompt_tokens", *FINISHED)
    assert run.summary["throughput"]["input_tokens_per_s"] * span_s == pytest.approx(tokens["prompt"])
    assert tokens["computed"] == run.live("supernode_computed_tokens_total")


def test_requests_are_counted_once(run: Run) -> None:
    requests, reasons = run.summary["requests"], run.summary["finish_reasons"]
    assert requests["arrived"] == len(run.records) == sum(reasons.values())
    assert requests["arrived"] == requests["finished"] + requests["rejected"] + requests["failed"]
    assert requests["arrived"] == run.live("supernode_requests_arrived_total")
    assert sum(reasons.values()) == run.live("supernode_requests_ended_total")
    assert run.summary["throughput"]["requests_per_s"] * run.summary["simulated_s"] == pytest.approx(
        requests["finished"]
    )


def test_energy_is_the_sum_of_its_parts_however_it_is_split(run: Run) -> None:
    energy = run.summary["energy"]
    assert sum(energy["by"].values()) == pytest.approx(energy["facility"]["joules"])
    assert energy["facility"]["joules"] == pytest.approx(run.live("supernode_energy_joules_total"))
    for split in ("by_rack", "by_node"):
        assert sum(energy[split].values()) == pytest.approx(energy["joules"])
    assert energy["joules"] == pytest.approx(run.live("supernode_instance_energy_joules_total"))
    watts = sum(run.summary["per_npu"][role]["watts"] * npus for role, npus in (("prefill", 32), ("decode", 16)))
    assert watts * run.summary["simulated_s"] == pytest.approx(energy["joules"])


def test_every_end_that_is_not_to_finish_has_its_limit(run: Run) -> None:
    ends = {name for name, count in run.summary["finish_reasons"].items() if count and name not in FINISHED}
    assert run.summary["finish_limits"].keys() == ends


def assert_cache_is_told_alike(run: Run) -> None:
    """Hits of prefills that began, and what look-ups found: in the summary, live, and the former over time."""
    cache, pool = run.summary["cache"], run.summary["cache"]["pool"]
    for name, count in (
        ("supernode_cache_hit_tokens_total", cache["hit_tokens"]),
        ("supernode_cache_lookup_tokens_total", cache["lookup_tokens"]),
        ("supernode_cache_pool_asked_tokens_total", pool["asked_tokens"]),
        ("supernode_cache_pool_found_tokens_total", pool["dram"]["found_tokens"] + pool["ssd"]["found_tokens"]),
        ("vllm:prefix_cache_hits_total", cache["hit_tokens"]),
        ("vllm:prefix_cache_queries_total", cache["lookup_tokens"]),
    ):
        assert run.live(name) == count > 0, name
    with (run.folder / "timeline.csv").open() as file:
        steps = list(csv.DictReader(file))
    for name in ("hit_tokens", "lookup_tokens"):
        assert sum(float(step[name]) for step in steps) == pytest.approx(cache[name], rel=1e-4)


def test_hits_and_what_was_found_are_told_alike_though_prefills_are_lost_and_begin_again(run: Run) -> None:
    assert_cache_is_told_alike(run)
    cache, pool = run.summary["cache"], run.summary["cache"]["pool"]
    # Who was requeued counts for each prefill that began, and more was looked up and found than was begun and hit.
    assert cache["lookup_tokens"] > sum(int(row["prompt_tokens"]) for row in run.records if row["prefill_started_ns"])
    assert pool["asked_tokens"] > cache["lookup_tokens"]
    assert pool["dram"]["found_tokens"] > cache["hit_tokens"]


def test_what_was_looked_up_and_not_begun_is_that_of_requests_that_timed_out_first(waiting: Run) -> None:
    assert_cache_is_told_alike(waiting)
    cache, pool = waiting.summary["cache"], waiting.summary["cache"]["pool"]
    begun = [row for row in waiting.records if row["prefill_started_ns"]]
    not_begun = [row for row in waiting.records if row["finish_reason"] == "timed_out" and row not in begun]
    assert not_begun
    assert cache["lookup_tokens"] == sum(int(row["prompt_tokens"]) for row in begun)
    assert cache["hit_tokens"] == sum(int(row["cached_tokens"]) for row in begun)
    assert pool["asked_tokens"] - cache["lookup_tokens"] == sum(int(row["prompt_tokens"]) for row in not_begun)
    assert pool["dram"]["found_tokens"] > cache["hit_tokens"]
    assert waiting.summary["tokens"]["computed"] <= cache["lookup_tokens"] - cache["hit_tokens"]


def test_the_room_that_decode_uses_is_that_of_the_time_line(run: Run) -> None:
    load, folder = run.summary["decode_load"], run.folder
    capacity = next(
        one["kv_tokens"]
        for one in json.loads((folder / "run.json").read_text())["instances"]
        if one["role"] == "decode"
    )
    with (folder / "timeline.csv").open() as file:
        held = [float(row["kv_tokens:decode-0"]) for row in csv.DictReader(file)]
    assert load["kv_used_peak"] == pytest.approx(max(held) / capacity, rel=1e-4)
    assert 0 < load["kv_used_mean"] < load["kv_used_peak"] <= 1
    assert load["kv_free_least"] == pytest.approx(1 - load["kv_used_peak"])
    assert 1 / 16 < load["batch_per_npu"] < 200 / 16
