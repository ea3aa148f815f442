"""What a warm-up leaves out: figures are those of the later part of a run, from whatever tells of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.cli import main
from tests.unit.deploy.run_folder.made import DEMO

Json = dict[str, Any]

SETTINGS = "plan: 2x16p+1x16d+4c\nrequest_timeout_s: 20\nslo: ttft=2s,tpot=50ms\n"

OF_THE_RUN = ("simulated_s", "wall_s", "config_digest", "warmup", "policy_failures")
"""Keys that are of the whole run."""


def _replay(folder: Path, trace: str, *flags: str) -> Json:
    (folder / "settings.yaml").write_text(SETTINGS)
    assert main(["replay", trace, "--config", str(folder / "settings.yaml"), *flags, "--out", str(folder / "run")]) == 0
    return json.loads((folder / "run" / "summary.json").read_text())


def _records(folder: Path) -> dict[str, Any]:
    with (folder / "run" / "requests.csv").open() as file:
        rows = list(csv.DictReader(file))
    numbers = ("arrived_ns", "first_token_ns", "decode_started_ns", "last_token_ns", "ended_ns", "ttft_s", "tpot_s")
    counts = ("prompt_tokens", "output_tokens", "e2e_s")
    columns = {name: np.array([row[name] or "nan" for row in rows], float) for name in (*numbers, *counts)}
    return {**columns, "is_finished": np.array([row["finish_reason"] in ("stop", "length") for row in rows])}


@pytest.fixture(scope="module", params=["400", "30s"])
def warm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Json]:
    """A run that goes over what it can serve, at its times, without its beginning."""
    folder = tmp_path_factory.mktemp("warm")
    return folder, _replay(folder, DEMO, "--rate-scale", "6", "--warmup", request.param)


def test_figures_are_those_of_later_requests(warm: tuple[Path, Json]) -> None:
    folder, summary = warm
    records = _records(folder)
    begins_ns = summary["warmup"]["ended_s"] * 1e9
    num_out = summary["warmup"]["requests"]
    later = np.arange(len(records["arrived_ns"])) >= num_out
    assert 0 < num_out < len(later)
    assert np.array_equal(later, records["arrived_ns"] >= begins_ns - 50)
    finished = later & records["is_finished"]
    assert summary["requests"]["arrived"] == later.sum()
    assert summary["requests"]["finished"] == finished.sum()
    for name, which in (("ttft_s", later), ("tpot_s", finished), ("e2e_s", finished)):
        column = records[name][which]
        column = column[~np.isnan(column)]
        assert summary[name]["mean"] == pytest.approx(column.mean(), rel=1e-6)
        assert summary[name]["p99"] == pytest.approx(np.percentile(column, 99), rel=1e-6)
    good = records["is_finished"] & (records["ttft_s"] <= 2) & ~(records["tpot_s"] > 0.05)
    assert summary["slo"]["attainment"] == pytest.approx(good[later].mean())


def test_rates_are_of_what_came_out_in_that_time(warm: tuple[Path, Json]) -> None:
    folder, summary = warm
    records = _records(folder)
    begins_ns, span_s = summary["warmup"]["ended_s"] * 1e9, summary["simulated_s"] - summary["warmup"]["ended_s"]
    ended_here = records["ended_ns"] > begins_ns
    assert summary["throughput"]["requests_per_s"] == pytest.approx(
        (ended_here & records["is_finished"]).sum() / span_s, rel=1e-6
    )
    good = records["is_finished"] & (records["ttft_s"] <= 2) & ~(records["tpot_s"] > 0.05)
    assert summary["slo"]["goodput_requests_per_s"] == pytest.approx((good & ended_here).sum() / span_s, rel=1e-6)
    assert summary["tokens"]["prompt"] == records["prompt_tokens"][records["first_token_ns"] >= begins_ns].sum()
    first, began, last = (records[name] for name in ("first_token_ns", "decode_started_ns", "last_token_ns"))
    whole = records["output_tokens"][first >= begins_ns].sum()
    spans = (first < begins_ns) & (last > begins_ns) & ~np.isnan(began)
    share = (last - np.maximum(began, begins_ns))[spans] / (last - began)[spans]
    expected = whole + ((records["output_tokens"][spans] - 1) * share).sum()
    assert spans.sum() > 10
    assert summary["tokens"]["output"] == pytest.approx(expected, abs=spans.sum() / 2 + 1)
    assert summary["throughput"]["output_tokens_per_s"] * span_s == pytest.approx(summary["tokens"]["output"])


def test_energy_use_and_cache_are_of_that_time(tmp_path: Path) -> None:
    summary = _replay(tmp_path, DEMO, "--rate-scale", "6", "--warmup", "20s")
    lines = (tmp_path / "run" / "timeline.csv").read_text().splitlines()
    cells = np.array([line.split(",") for line in lines[1:]], float)
    timeline = dict(zip(lines[0].split(","), cells.T, strict=True))
    steps_s = np.diff([*timeline["time_s"], summary["simulated_s"]])
    later = timeline["time_s"] >= 20
    assert 20 in timeline["time_s"], "a step begins with what is counted"
    watts = sum(column for name, column in timeline.items() if name.startswith("watts:"))
    assert summary["energy"]["joules"] == pytest.approx((watts * steps_s)[later].sum(), rel=1e-4)
    busy = timeline["busy:decode-0"]
    span_s = steps_s[later].sum()
    assert summary["per_npu"]["decode"]["utilization"] == pytest.approx(
        (busy * steps_s)[later].sum() / span_s, rel=1e-4
    )
    assert summary["cache"]["hit_tokens"] == pytest.approx(timeline["hit_tokens"][later].sum(), rel=1e-5)
    assert summary["cache"]["lookup_tokens"] == pytest.approx(timeline["lookup_tokens"][later].sum(), rel=1e-5)
    moved = (timeline["rdma_bytes_per_s"] * steps_s)[later].sum()
    assert summary["fabric"]["rdma"]["bytes"] == pytest.approx(moved, rel=1e-3)
    kv = (timeline["kv_tokens:decode-0"] * steps_s)[later].sum() / span_s
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    (capacity,) = [one["kv_tokens"] for one in run["instances"] if one["role"] == "decode"]
    assert summary["decode_load"]["kv_used_mean"] == pytest.approx(kv / capacity, rel=1e-3)


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path: value}
    return {key: leaf for name, inner in value.items() for key, leaf in _flat(inner, f"{path}.{name}").items()}


@pytest.mark.parametrize("warmup", ["26", "500s"])
def test_a_part_that_stands_alone_has_the_figures_of_a_run_of_its_own(tmp_path: Path, warmup: str) -> None:
    rows = [json.loads(line) for line in Path(DEMO).read_text().splitlines()[:85]]
    for row in rows:
        del row["hash_ids"]
    early, late = rows[:26], rows[26:]
    begin_ms = late[0]["timestamp"]
    for row in late:
        row["timestamp"] += 500_000 - begin_ms
    both, alone = tmp_path / "both", tmp_path / "alone"
    for folder, kept in ((both, [*early, *late]), (alone, late)):
        folder.mkdir()
        (folder / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    flags = ("--cache", "none", "--policy", "round_robin")
    whole = _replay(both, str(both / "trace.jsonl"), *flags, "--warmup", warmup)
    single = _replay(alone, str(alone / "trace.jsonl"), *flags)
    assert whole["warmup"] == {"requests": 26, "ended_s": 500.0}
    for key in OF_THE_RUN:
        whole.pop(key)
        single.pop(key, None)
    expected = _flat(single)
    found = _flat(whole)
    assert found.keys() == expected.keys()
    # Where in a step of decode a request joins differs, and with it who is in which step. On the mean that is little;
    # of single requests and steps, which the last percentiles are, it is a step over all tokens of an answer.
    singles = (".p95", ".p99", ".max")
    for path, value in expected.items():
        is_single = path.startswith((".itl_s.", ".tpot_s.", ".e2e_s.")) and path.endswith(singles)
        rel = 2e-2 if is_single else 2e-3
        assert found[path] == (pytest.approx(value, rel=rel, abs=1e-9) if isinstance(value, float) else value), path


def test_a_warm_up_of_nothing_changes_nothing(tmp_path: Path) -> None:
    found: list[Json] = []
    for flags in ((), ("--warmup", "0"), ("--warmup", "0s")):
        summary = _replay(tmp_path, DEMO, *flags)
        found.append({key: value for key, value in summary.items() if key not in ("wall_s", "config_digest")})
    assert found[0] == found[1] == found[2]
    assert "warmup" not in found[0]


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("5000", "the warm-up of 5,000 requests left nothing: all 1,500 requests arrived within it"),
        ("9000s", "the warm-up of 9000 s left nothing: all 1,500 requests arrived within it"),
        ("1500", "the warm-up of 1,500 requests left nothing: all 1,500 requests arrived within it"),
    ],
)
def test_a_warm_up_that_leaves_nothing_is_one_line(capsys: pytest.CaptureFixture[str], flag: str, said: str) -> None:
    assert main(["replay", DEMO, "--warmup", flag]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"supernode: {said}; give a shorter --warmup\n"


def test_the_table_says_what_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", DEMO, "--warmup", "100"]) == 0
    assert "figures without the warm-up: 100 requests, the first 24.2 s\n" in capsys.readouterr().out
