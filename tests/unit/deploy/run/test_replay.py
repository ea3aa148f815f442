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
"""


class Run:
    """A run folder and the last sample of each series."""

    def __init__(self, folder: Path) -> None:
        trace = folder / "trace.jsonl"
        rows = Path(DEMO).read_text().splitlines()[:900]
        rows.insert(0, json.dumps({"timestamp": 0, "input_length": 190_000, "output_length": 10}))
        trace.write_text("\n".join(rows) + "\n")
        (folder / "faults.yaml").write_text(FAULTS)
        (folder / "settings.yaml").write_text(SETTINGS)
        command = ["replay", str(trace), "--config", str(folder / "settings.yaml"), "--rate-scale", "2"]
        more = ["--faults", str(folder / "faults.yaml"), "--openmetrics", str(folder / "scrapes")]
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
    return Run(tmp_path_factory.mktemp("identities"))


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


def test_hits_of_prompts_that_began_are_told_alike(run: Run) -> None:
    cache = run.summary["cache"]
    assert cache["hit_tokens"] == run.live("supernode_cache_hit_tokens_total")
    assert cache["lookup_tokens"] == run.live("supernode_cache_lookup_tokens_total")
    # The pool also counts what it found for requests that never began.
    found = cache["pool"]["dram"]["hit_tokens"] + cache["pool"]["ssd"]["hit_tokens"]
    assert found == run.live("supernode_cache_pool_hit_tokens_total") > cache["hit_tokens"]


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
