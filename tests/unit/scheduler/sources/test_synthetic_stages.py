"""Stages of rates: where requests fall, where they end, and what cannot be asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.errors import ConfigError
from scheduler.runtime.random_streams import stream
from scheduler.sources.synthetic.arrivals import ArrivalClock
from scheduler.sources.synthetic.generate import generate
from scheduler.sources.synthetic.load import load_workload
from scheduler.sources.synthetic.rates import StagedRate
from scheduler.sources.synthetic.workload import (
    ArrivalProcess,
    EmpiricalLengths,
    IndependentRequests,
    LogNormalLengths,
    RateStage,
    SessionRequests,
    Workload,
)
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace

STEPS = (RateStage(10, 5), RateStage(20, 0), RateStage(10, 40))
RAMP = (RateStage(100, 0, 20), RateStage(50, 20), RateStage(100, 20, 0))
LENGTHS = EmpiricalLengths((100,), (1.0,))

RATES = st.floats(0, 50).map(lambda rate: round(rate, 2))
ANY_STAGES = st.lists(
    st.builds(RateStage, st.floats(0.5, 50), RATES, st.one_of(st.none(), RATES)), min_size=1, max_size=6
).filter(lambda stages: sum(stage.num_expected for stage in stages) > 1)


def times_of(*stages: RateStage, num_requests: int | None = None, seed: int = 0) -> list[float]:
    """Arrivals in seconds."""
    requests = IndependentRequests(ArrivalProcess(stages=stages), LENGTHS, LENGTHS)
    _, blocks = generate(Workload("made", requests, num_requests), seed)
    return [time_ns / 1e9 for block in blocks for time_ns in block.arrived_ns]


def test_times_are_the_inverse_of_the_integrated_rate_by_hand() -> None:
    steps = StagedRate(STEPS)
    assert steps.num_expected == 10 * 5 + 10 * 40
    assert steps.times_s(np.array([0.0, 25.0, 49.0, 51.0, 90.0, 449.0])) == pytest.approx(
        [0.0, 5.0, 9.8, 30.025, 31.0, 39.975]
    )
    ramp = StagedRate(RAMP)
    assert ramp.num_expected == 1000 + 1000 + 1000
    # t^2 / 10 arrivals after t seconds, then 20 a second, then the ramp turned round.
    assert ramp.times_s(np.array([0.0, 10.0, 250.0, 1500.0, 2750.0, 2990.0])) == pytest.approx(
        [0.0, 10.0, 50.0, 125.0, 200.0, 240.0]
    )


@given(stages=ANY_STAGES)
def test_the_inverse_is_exact_for_any_stages(stages: list[RateStage]) -> None:
    rate = StagedRate(tuple(stages))
    expected = np.linspace(0, rate.num_expected * (1 - 1e-9), 200)
    times_s = rate.times_s(expected)
    assert (np.diff(times_s) >= 0).all()
    ends_s = np.cumsum([stage.duration_s for stage in stages])
    integrated = np.zeros(len(times_s))
    for stage, end_s in zip(stages, ends_s, strict=True):
        within = np.clip(times_s - (end_s - stage.duration_s), 0, stage.duration_s)
        slope = (stage.last_rate_per_s - stage.rate_per_s) / stage.duration_s
        integrated += stage.rate_per_s * within + slope * within**2 / 2
    assert integrated == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_requests_keep_to_their_stages() -> None:
    times_s = times_of(*STEPS)
    assert times_s[0] == 0.0
    assert times_s == sorted(times_s)
    assert not [time_s for time_s in times_s if 10 <= time_s < 30 or time_s >= 40]
    in_first = sum(time_s < 10 for time_s in times_s)
    assert in_first == pytest.approx(50, abs=25)
    assert len(times_s) - in_first == pytest.approx(400, abs=70)


def test_a_ramp_is_a_line() -> None:
    stages = (RateStage(100, 0, 2000),)
    counts, _ = np.histogram(times_of(*stages), bins=10, range=(0, 100))
    assert counts == pytest.approx(20_000 * (np.arange(10) * 0.1 + 0.05) / 10 * 10, rel=0.06)


def test_it_ends_with_its_stages_or_its_requests_whichever_is_first() -> None:
    assert len(times_of(*STEPS, num_requests=30)) == 30
    everybody = times_of(*STEPS)
    assert times_of(*STEPS, num_requests=100_000) == everybody
    assert times_of(*STEPS, num_requests=30) == everybody[:30]
    expected, _ = generate(Workload("made", IndependentRequests(ArrivalProcess(stages=STEPS), LENGTHS, LENGTHS)), 0)
    assert expected == 450


def test_the_end_of_many_blocks_is_the_end() -> None:
    times_s = times_of(RateStage(10, 1000), seed=5)
    clock = ArrivalClock(ArrivalProcess(stages=(RateStage(10, 1000),)), stream(5, "arrivals"))
    assert len(times_s) == len(clock.draw_ns(20_000))
    assert clock.has_ended
    assert 9.9 < times_s[-1] < 10


def test_sessions_begin_in_the_stages_and_are_carried_to_their_end() -> None:
    requests = SessionRequests(
        ArrivalProcess(stages=STEPS), LENGTHS, LENGTHS, mean_turns=3, max_turns=9, think_mean_s=5, system_tokens=512
    )
    _, blocks = generate(Workload("made", requests), 1)
    rows = [row for block in blocks for row in zip(block.arrived_ns, block.prompt_tokens, strict=True)]
    begun_s = [time_ns / 1e9 for time_ns, prompt_tokens in rows if prompt_tokens == 612]
    assert len(begun_s) == pytest.approx(450, abs=75)
    assert not [time_s for time_s in begun_s if 10 <= time_s < 30 or time_s >= 40]
    assert len(rows) == pytest.approx(3 * len(begun_s), rel=0.15)
    assert rows[-1][0] / 1e9 > 40


WORKLOAD = """\
arrivals:
  stages:
    - {{duration_s: 60, rate_per_s: 2}}
    - {{duration_s: 30, rate_per_s: 2, end_rate_per_s: 8}}
{more}
prompt_tokens: {{values: [100]}}
output_tokens: {{values: [5]}}
"""


def test_a_file_says_stages(tmp_path: Path) -> None:
    path = tmp_path / "made.yaml"
    path.write_text(WORKLOAD.format(more=""))
    workload = load_workload(str(path))
    assert isinstance(workload.requests, IndependentRequests)
    assert workload.requests.arrivals.stages == (RateStage(60, 2), RateStage(30, 2, 8))
    assert open_trace(str(path), options=TraceOptions()).num_requests_hint == 270


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("  rate_per_s: 3", "rate_per_s is 3 beside stages, which say the rate; leave one of them out"),
        ("  diurnal_amplitude: 0.5", "diurnal_amplitude is 0.5 beside stages"),
        ("    - {duration_s: 0, rate_per_s: 2}", "made.yaml:5: arrivals.stages[2].duration_s is 0"),
        ("    - {duration_s: 5, rate_per_s: -2}", "made.yaml:5: arrivals.stages[2].rate_per_s is -2"),
        ("    - {duration_s: 5, rate_per_s: 2, end_rate: 3}", "end_rate is not known here"),
        ("    - {duration_s: 5}", "rate_per_s is missing"),
        ("    - 5", "give a list of sections"),
    ],
)
def test_stages_that_cannot_be_are_one_line(tmp_path: Path, more: str, problem: str) -> None:
    path = tmp_path / "made.yaml"
    path.write_text(WORKLOAD.format(more=more))
    with pytest.raises(ConfigError) as caught:
        load_workload(str(path))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("stages", [(RateStage(5, 0), RateStage(5, 1)), (RateStage(1, 1),) * 10_001])
def test_a_trace_begins_with_a_request_and_has_not_too_many_stages(stages: tuple[RateStage, ...]) -> None:
    with pytest.raises(ConfigError, match="stages"):
        ArrivalProcess(stages=stages)


def test_without_stages_a_rate_is_needed_and_so_is_an_end() -> None:
    with pytest.raises(ConfigError, match="rate_per_s is 0"):
        ArrivalProcess()
    lengths = LogNormalLengths(10, 1, maximum=20)
    with pytest.raises(ConfigError, match="num_requests is missing"):
        Workload("made", IndependentRequests(ArrivalProcess(rate_per_s=1.0), lengths, lengths))
