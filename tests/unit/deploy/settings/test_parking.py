"""Parking from the command line to the watts of every instant."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.run.replay import ReplayJob, ReplayResult, replay_virtual
from deploy.settings.load import load_settings
from deploy.settings.parking import parking_rules
from deploy.settings.settings import Settings
from scheduler.core.guests.parking import ParkingRules
from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.options import TraceOptions

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")
CONFIG = load_settings(None, {"plan": "6x16p+2x16d", "cache": "none"})


def replayed(config: Settings) -> ReplayResult:
    """Part of the demo trace, at a twentieth of its pace."""
    return replay_virtual(ReplayJob(DEMO, TraceOptions(60, 1, 0.05, 0, False, None), config))


@pytest.mark.parametrize("cap", ["", "230kW"])
def test_it_saves_energy_loses_no_request_and_keeps_a_cap(cap: str) -> None:
    config = CONFIG.changed(power_cap=cap)
    parked, awake = replayed(config.changed(parking="idle=5s")), replayed(config)
    assert parked.summary.requests == awake.summary.requests
    assert parked.records.output_tokens.tolist() == awake.records.output_tokens.tolist()
    energy, before = parked.summary.energy, awake.summary.energy
    assert energy.facility is not None
    assert energy.supernode is not None
    assert sum(energy.by.values()) == pytest.approx(energy.facility.joules)
    assert energy.by["idle"] < 0.97 * before.by["idle"]
    assert energy.joules < before.joules
    assert all(joules >= 0 for joules in energy.by.values())
    assert not cap or energy.supernode.peak_watts <= 230e3


def test_rules_are_read_as_written() -> None:
    assert parking_rules("") is None
    assert parking_rules("idle=30s") == ParkingRules(30_000_000_000, 1)
    assert parking_rules("idle=0.5s,spare=3") == ParkingRules(500_000_000, 3)


@pytest.mark.parametrize("text", ["30s", "idle=30", "idle=0s", "idle=30s,spare=0", "idle=-1s", "spare=2"])
def test_what_cannot_be_used_is_one_line_with_a_fix(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--parking: .*(write idle=30s or|give an idle time)"):
        load_settings(None, {"parking": text})
