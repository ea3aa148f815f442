"""A fleet bears what the first system does with the fewest systems, and a whole one is never out of their number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.cli import main
from deploy.compare.comparison import Compared, Task
from deploy.compare.goodput import search
from deploy.compare.measure import Measured
from deploy.compare.sizing import Sizing, least_count, size
from deploy.compare.sizing_page import sizing_block, sizing_document
from deploy.compare.variants import Variant
from deploy.settings.load import load_settings
from scheduler.sources.traces.options import TraceOptions

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")

RATES = st.floats(1e-3, 1e5)

LIMIT_REQUESTS_PER_S = {"cloudmatrix384": 50.0, "gb200-nvl72": 17.0}


def run_at(name: str, scale: float) -> Measured:
    """Requests arrive at as many a second as `scale` says; up to the cluster's limit all meet the SLO."""
    document = {
        "requests": {"arrived": 1000},
        "simulated_s": 2000.0 / scale,
        "slo": {"attainment": 1.0 if scale <= LIMIT_REQUESTS_PER_S[name] else 0.0},
        "throughput": {"output_tokens_per_s": 100.0 * scale},
        "energy": {
            "supernode": {"mean_watts": 1e5 + 1e3 * scale},
            "facility": {"joules": 1e8 / scale},
            "facility_joules_per_output_token": 1e3 / scale,
        },
        "cost": {"usd": 10.0 / scale},
    }
    return Measured(name, document, scale, 1)


def found(name: str, **flags: Any) -> Compared:
    variant = Variant(name, load_settings(None, {"cluster": name, **flags}))
    return Compared(variant, run_at(name, 1.0), search(lambda scale: run_at(name, scale), 0.9))


def made_up(task: Task, scale: float) -> Measured:
    return run_at(task.variant.name, scale)


def sized(*compared: Compared) -> Sizing:
    """What it runs itself is made as the searches' runs are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Task, "at", made_up)
        return size(compared, "no.jsonl", TraceOptions(), 1)


@given(RATES, RATES)
def test_the_count_suffices_and_is_least(wanted: float, each: float) -> None:
    count = least_count(wanted, each)
    assert count * each >= wanted
    assert count == 1 or (count - 1) * each < wanted


@given(st.integers(1, 10**6), RATES)
def test_a_multiple_needs_no_spare_system(count: int, each: float) -> None:
    assert least_count(count * each, each) == count


def test_fleets_bear_the_goodput_of_the_first() -> None:
    first, exact, whole = sized(found("cloudmatrix384"), found("gb200-nvl72")).fleets
    assert (first.num_systems, first.load) == (1, 1.0)
    assert exact.goodput_requests_per_s == pytest.approx(first.goodput_requests_per_s)
    assert whole.num_systems == int(whole.num_systems) >= exact.num_systems > whole.num_systems - 1
    assert whole.goodput_requests_per_s >= first.goodput_requests_per_s
    # Each system of it replays the trace at its share.
    assert whole.num_systems * whole.measured.offered_requests_per_s == pytest.approx(first.wanted_requests_per_s)
    assert whole.load == pytest.approx(whole.measured.offered_requests_per_s / exact.measured.offered_requests_per_s)


def test_the_limits_that_searches_bracket_lie_within_the_range_told() -> None:
    (between,) = sized(found("cloudmatrix384"), found("gb200-nvl72")).ratios
    assert between[0] < LIMIT_REQUESTS_PER_S["cloudmatrix384"] / LIMIT_REQUESTS_PER_S["gb200-nvl72"] < between[1]


def test_columns_are_sums_over_systems() -> None:
    document = sizing_document(sized(found("cloudmatrix384"), found("gb200-nvl72"), found("cloudmatrix384")))
    first, exact, whole, same, also_same = document["fleets"]
    assert (first["npus"], first["racks"], first["provisioned_watts"]) == (384, 16, pytest.approx(559.4e3, rel=1e-3))
    for fleet in (exact, whole):
        assert fleet["npus"] == pytest.approx(72 * fleet["systems"], rel=1e-4)
        assert fleet["price_usd"] == pytest.approx(3e6 * fleet["systems"], rel=1e-4)
        total_tokens = fleet["npus"] * fleet["output_tokens_per_s_per_npu"]
        assert total_tokens == pytest.approx(100 * document["requests_per_s"], rel=1e-4)
    assert same == also_same == {**first, "break_even_usd_per_kwh": None}
    assert first["arriving"] == pytest.approx(0.5)


def test_a_plan_of_several_supernodes_is_one_system() -> None:
    twice = found("cloudmatrix384", plan="2*(14x16p+1x160d+48c)")
    fleets = sizing_document(sized(twice, found("cloudmatrix384", price="rented=2")))["fleets"]
    assert [fleet["npus"] for fleet in fleets] == [768, 384, 384]
    assert fleets[0]["price_usd"] == pytest.approx(2 * 8.2e6)
    assert fleets[1]["price_usd"] is None  # a rent is no price
    assert fleets[1]["usd_per_million_output_tokens"] is None


@pytest.mark.parametrize(
    ("limit", "reason"), [(0.0, "attains the SLO at no rate that was tried"), (1e9, "at every rate tried, up to 4,096")]
)
def test_without_a_goodput_there_is_a_reason(limit: float, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMIT_REQUESTS_PER_S, "gb200-nvl72", limit)
    sizing = sized(found("cloudmatrix384"), found("gb200-nvl72"))
    assert reason in sizing_block(sizing)
    document = sizing_document(sizing)
    assert document["fleets"] == []
    assert "gb200-nvl72 attains" in document["unknown"]


def test_real_runs_are_sized(capsys: pytest.CaptureFixture[str]) -> None:
    """Prompts beyond a few at once are late here, so that a short trace has a goodput."""
    arguments = ["compare", "--policy", "cloudmatrix,round_robin", "--trace", DEMO, "--limit", "60", "--jobs", "1"]
    assert main([*arguments, "--slo", "ttft=85ms", "--size", "equal-goodput", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    first, exact, whole = document["sizing"]["fleets"]
    assert first["goodput_requests_per_s"] == document["variants"][0]["goodput"]["requests_per_s"]
    assert whole["systems"] == least_count(exact["systems"], 1.0)
    assert main([*arguments, "--slo", "ttft=100s", "--size", "equal-goodput"]) == 0
    assert "Fleets of equal goodput: not known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--size", "one"], "--size is 'one'; give one-each or equal-goodput"),
        (["--size", "equal-goodput", "--slo", "ttft=2s"], "--size equal-goodput sizes others to the first of several"),
        (["gb200-nvl72", "cloudmatrix384", "--size", "equal-goodput"], "--size equal-goodput needs limits to attain"),
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--trace", DEMO, *arguments]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
