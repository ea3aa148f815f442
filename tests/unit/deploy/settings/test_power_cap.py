"""A power cap from the command line to the watts of every instant (INV-11)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.run.replay import ReplayJob, ReplayResult, replay_virtual
from deploy.settings.load import load_settings
from deploy.settings.power_cap import cap_watts
from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.options import TraceOptions

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")
CONFIG = load_settings(None, {"plan": "3x16p+1x32d", "cache": "none"})


def replayed(config: Settings, limit: int = 40) -> ReplayResult:
    """The demo trace, four of it at once."""
    return replay_virtual(ReplayJob(DEMO, TraceOptions(limit, 4, 1.0, 0, False, None), config))


@cache
def floor_and_peak_w() -> tuple[float, float]:
    """What the plan draws at least under a cap, and at most without one."""
    with pytest.raises(ConfigError, match="below the") as caught:
        Blueprint(CONFIG.changed(power_cap="1kW"), 512).make_core()
    floor_w = 1e3 * float(str(caught.value).split("below the ")[1].split(" kW")[0])
    supernode = replayed(CONFIG).summary.energy.supernode
    assert supernode is not None
    return floor_w, supernode.peak_watts


@settings(max_examples=8)
@given(share=st.floats(0.01, 1.1))
def test_nothing_is_drawn_above_the_cap_and_every_request_ends_as_it_would(share: float) -> None:
    floor_w, peak_w = floor_and_peak_w()
    cap_w = round(floor_w + 100 + share * (peak_w - floor_w))
    capped, free = replayed(CONFIG.changed(power_cap=f"{cap_w}W")), replayed(CONFIG)
    energy = capped.summary.energy
    assert energy.supernode is not None
    assert energy.supernode.peak_watts <= cap_w
    assert energy.facility is not None
    assert sum(energy.by.values()) == pytest.approx(energy.facility.joules)
    assert capped.summary.requests == free.summary.requests
    assert capped.records.output_tokens.tolist() == free.records.output_tokens.tolist()


def test_a_cap_that_nothing_reaches_changes_no_time() -> None:
    capped, free = replayed(CONFIG.changed(power_cap="1MW")).summary, replayed(CONFIG).summary
    assert (capped.tpot_s, capped.ttft_s) == (free.tpot_s, free.ttft_s)
    assert capped.energy.joules == pytest.approx(free.energy.joules)


def test_a_tighter_cap_costs_time_and_saves_energy_of_work() -> None:
    floor_w, peak_w = floor_and_peak_w()
    tight = replayed(CONFIG.changed(power_cap=f"{round(floor_w + 0.3 * (peak_w - floor_w))}W")).summary
    free = replayed(CONFIG).summary
    assert (tight.tpot_s.mean or 0) > 1.1 * (free.tpot_s.mean or 0)
    assert tight.energy.by["decode"] + tight.energy.by["prefill"] < free.energy.by["decode"] + free.energy.by["prefill"]


@pytest.mark.parametrize(
    ("text", "watts"), [("350kW", 350e3), ("1.5 MW", 1.5e6), ("90000W", 90e3), ("300KW", 300e3), ("1e5W", 1e5)]
)
def test_watts_are_read_as_written(text: str, watts: float) -> None:
    assert cap_watts(text) == watts


@pytest.mark.parametrize("text", ["350", "kW", "-3kW", "0W", "350kVA", "350 kw", "350mW"])
def test_what_cannot_be_read_says_how_to_write_it(text: str) -> None:
    with pytest.raises(ConfigError, match="write watts such as 350kW"):
        cap_watts(text)
