"""`replay --openmetrics`: what it is told, and that it changes nothing of the result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.run.openmetrics import DEFAULT_START_S, scrape_job
from scheduler.protocol.errors import ConfigError
from tests.unit.deploy.run_folder.made import DEMO

NS_PER_S = 10**9


def first_time(path: Path) -> str:
    """Of the first sample."""
    return next(line.split()[-1] for line in path.read_text().splitlines() if not line.startswith("#"))


@pytest.fixture(scope="module")
def demo_scrapes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, float]]]:
    """Scrapes of the whole demo, and its summary."""
    folder = tmp_path_factory.mktemp("demo")
    assert main(["replay", DEMO, "--openmetrics", str(folder / "scrapes"), "--out", str(folder / "run")]) == 0
    return folder / "scrapes", json.loads((folder / "run" / "summary.json").read_text())


@pytest.mark.parametrize(
    ("text", "start_s"),
    [
        ("2025-01-01T00:00:00Z", DEFAULT_START_S),
        ("2025-01-01", DEFAULT_START_S),
        ("2025-01-01T02:00:00+02:00", DEFAULT_START_S),
        ("1735689600", DEFAULT_START_S),
        ("0", 0),
    ],
)
def test_start_times(text: str, start_s: int) -> None:
    assert scrape_job("file", text, None).start_ns == start_s * NS_PER_S
    assert scrape_job("file", None, 5.0).interval_ns == 5 * NS_PER_S


@pytest.mark.parametrize("text", ["", "soon", "-1", "nan", "inf", "1735689600000", "2500-01-01"])
def test_impossible_start_times_are_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="--start-time"):
        scrape_job("file", text, None)


@pytest.mark.parametrize("interval_s", [0.0, -1.0, 1e9, float("nan")])
def test_impossible_intervals_are_one_line(interval_s: float) -> None:
    with pytest.raises(ConfigError, match="--scrape-interval"):
        scrape_job("file", None, interval_s)


def test_a_scraped_replay_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents: list[dict[str, object]] = []
    for more in ((), ("--openmetrics", str(tmp_path / "scrapes")), ("--out", str(tmp_path / "run"))):
        assert main(["replay", DEMO, "--limit", "300", "--json", *more]) == 0
        documents.append(json.loads(capsys.readouterr().out) | {"wall_s": 0})
    assert documents[0] == documents[1] == documents[2]
    assert first_time(tmp_path / "scrapes") == f"{DEFAULT_START_S}.000"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "scrapes"]


def quantile_of(path: Path, name: str, level: float) -> float:
    """As Prometheus reads it from the last sample of a histogram (`histogram_quantile`)."""
    last: dict[float, float] = {}
    for line in path.read_text().splitlines():
        if line.startswith(f'{name}_bucket{{le="'):
            series, value, _ = line.split()
            last[float(series.split('"')[1])] = float(value)
    bounds = sorted(last)
    rank = level * last[bounds[-1]]
    place = next(place for place, bound in enumerate(bounds) if last[bound] >= rank)
    low, below = (bounds[place - 1], last[bounds[place - 1]]) if place else (0.0, 0.0)
    return low + (bounds[place] - low) * (rank - below) / (last[bounds[place]] - below)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("supernode_time_per_output_token_seconds", "tpot_s"),
        ("supernode_request_queue_time_seconds", "queue_s"),
        ("supernode_time_to_first_token_seconds", "ttft_s"),
        ("supernode_e2e_request_latency_seconds", "e2e_s"),
        ("supernode_inter_token_latency_seconds", "itl_s"),
    ],
)
def test_percentiles_of_buckets_are_those_of_the_summary(
    demo_scrapes: tuple[Path, dict[str, dict[str, float]]], name: str, key: str
) -> None:
    path, summary = demo_scrapes
    for level in (50, 90, 95, 99):
        assert quantile_of(path, name, level / 100) == pytest.approx(summary[key][f"p{level}"], rel=0.1), level


FLIP = """
from scheduler.policies.scaling_view import Wanted

class Flip:
    def wanted(self, view):
        at_s = view.samples[-1].at_s
        prefill, decode = (4, 2) if at_s < 40 else (14, 1)
        return Wanted({"prefill": prefill, "decode": decode}, f"at {at_s:g} s")
"""
"""NPUs of prefill to decode, and back again."""

SCALED = ("--plan", "14x16p+1x160d+48c", "--autoscaler-max", "prefill=14,decode=2", "--limit", "500")


def test_what_comes_and_goes_adds_up_to_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Energy of all parts, what was decided, and how long NPUs were whose."""
    scrapes, policy, config = tmp_path / "scrapes", tmp_path / "flip.py", tmp_path / "fast.yaml"
    policy.write_text(FLIP)
    config.write_text("autoscaler_interval_s: 10\nautoscaler_start_s: 5\n")
    arguments = ["replay", DEMO, *SCALED, "--autoscaler", f"{policy}:Flip", "--config", str(config), "--json"]
    assert main([*arguments, "--openmetrics", str(scrapes)]) == 0
    result = json.loads(capsys.readouterr().out)
    last: dict[str, float] = {}
    for line in scrapes.read_text().splitlines():
        if line.startswith(("supernode_scaling", "supernode_energy_joules_total")):
            series, value, _ = line.split()
            last[series] = float(value)
    joules: dict[str, float] = {}
    for series, value in last.items():
        if series.startswith("supernode_energy"):
            _, part, _, phase, _ = series.split('"')
            joules[phase if part == "npu" else part] = value
    assert joules == pytest.approx(result["energy"]["by"], rel=1e-6)
    by_role = result["scaling"]["by_role"]
    assert (result["scaling"]["changes"], result["scaling"]["switches"]) == (2, 2)
    for role, use in by_role.items():
        assert last[f'supernode_scaling_npu_seconds_total{{role="{role}"}}'] / 3600 == pytest.approx(use["npu_hours"])
        of_role = f'supernode_scaling_changes_total{{role="{role}"'
        assert last[f'{of_role},kind="start",policy="own"}}'] == use["started"]
        assert last[f'{of_role},kind="stop",policy="own"}}'] == use["drained"]
    assert last['supernode_scaling_instances{role="prefill",state="serving"}'] == 14


def test_a_trace_that_says_when_it_began_begins_then(tmp_path: Path) -> None:
    trace, scrapes = tmp_path / "azure.csv", tmp_path / "scrapes"
    rows = "\n".join(f"2023-11-16 18:15:{second}.5,100,10" for second in (46, 47, 59))
    trace.write_text(f"TIMESTAMP,ContextTokens,GeneratedTokens\nbad,1,1\n{rows}\n")
    assert main(["replay", str(trace), "--skip-bad", "--openmetrics", str(scrapes)]) == 0
    assert first_time(scrapes) == "1700158546.500"
    assert main(["replay", str(trace), "--skip-bad", "--openmetrics", str(scrapes), "--start-time", "60"]) == 0
    assert first_time(scrapes) == "60.000"


@pytest.mark.parametrize(
    "arguments", [("--live", "--openmetrics", "file"), ("--start-time", "0"), ("--openmetrics", DEMO)]
)
def test_contradictions_are_one_line(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("deploy.commands.replay._find_cluster", lambda: None)
    assert main(["replay", DEMO, *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
