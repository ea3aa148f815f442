"""Joules: bounded by idle and cap, additive, and those of the watts that the model predicts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.hopper import H100_CLUSTER, H800_CLUSTER
from sim_hw.clusters.supernode import Overlap, Supernode
from sim_hw.instance.power import decode_power, prefill_power
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B
from sim_hw.operators.operating_point import DecodePoint, ExpertBalance, PrefillPoint
from sim_hw.power.chip_power import chip_watts, prefill_watts
from sim_hw.steps.default_points import default_decode_point, default_prefill_point
from sim_hw.steps.predict import DecodePrediction, PrefillPrediction, predict_decode, predict_prefill
from sim_hw.steps.work import decode_work, prefill_work
from tests.unit.sim_hw.clocked_load import ClockedLoad, clocked_watts, step_stretch

DECODE = default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1)
PREFILL = default_prefill_point(CLOUDMATRIX384, DEEPSEEK_R1)
COUNTS = st.integers(0, 10**9)


@pytest.mark.parametrize("batch", [2, 8, 96])
@pytest.mark.parametrize(
    "point",
    [DECODE, default_decode_point(H800_CLUSTER, DEEPSEEK_R1), default_decode_point(H800_CLUSTER, LLAMA_3_1_70B)],
)
def test_a_decode_instance_draws_what_the_model_predicts(point: DecodePoint, batch: int) -> None:
    load = replace(point, batch_per_npu=batch, overlap=Overlap.NONE)
    work, step_s = decode_work(load, is_split=False), 0.5
    requests = load.requests_per_rank * load.num_ranks
    joules = decode_power(point).joules(
        busy_ns=round(step_s * 1e9),
        steps=1,
        sequence_steps=requests,
        kv_token_steps=requests * load.context_tokens,
        idle_ns=0,
    )
    watts = chip_watts(load.chip, work.compute_s / step_s, work.memory_s / step_s)
    assert joules / step_s / load.num_npus == pytest.approx(watts, rel=1e-3)


@pytest.mark.parametrize("point", [PREFILL, default_prefill_point(H800_CLUSTER, LLAMA_3_1_70B)])
def test_a_prefill_instance_draws_what_the_model_predicts(point: PrefillPoint) -> None:
    work, pass_s = prefill_work(point), 3.0
    tokens = point.batch_tokens_per_npu * point.num_npus
    pairs = tokens // point.prompt_tokens * (point.prompt_tokens * (point.prompt_tokens + 1) // 2)
    joules = prefill_power(point).joules(
        busy_ns=round(pass_s * 1e9), passes=1, computed_tokens=tokens, attention_pairs=pairs, idle_ns=0
    )
    watts = prefill_watts(point.chip, work.compute_s / pass_s, work.memory_s / pass_s)
    # Little of a pass is not proportional to its tokens.
    assert joules / pass_s / point.num_npus == pytest.approx(watts, rel=0.01)


def test_published_operating_points_draw_what_the_documentation_says() -> None:
    def share(prediction: DecodePrediction | PrefillPrediction) -> float:
        chip = CLOUDMATRIX384.chip
        watts = prefill_watts if isinstance(prediction, PrefillPrediction) else chip_watts
        return watts(chip, prediction.compute_share, prediction.memory_share) / chip.tdp_w.value

    assert share(predict_prefill(PREFILL)) == pytest.approx(0.88, abs=0.005)
    assert share(predict_prefill(replace(PREFILL, eplb=ExpertBalance.PERFECT))) == pytest.approx(0.985, abs=0.005)
    assert share(predict_decode(DECODE)) == pytest.approx(0.84, abs=0.005)
    assert share(predict_decode(replace(DECODE, batch_per_npu=8))) == pytest.approx(0.64, abs=0.005)


@pytest.mark.parametrize("cluster", [GB200_NVL72, H800_CLUSTER, H100_CLUSTER])
def test_prefill_of_chips_that_were_not_fitted_draws_what_services_draw(cluster: Supernode) -> None:
    # The one factor is fitted on the 910C; services were seen at 0.88 to 1.0 of TDP.
    prediction = predict_prefill(default_prefill_point(cluster, DEEPSEEK_R1))
    watts = prefill_watts(cluster.chip, prediction.compute_share, prediction.memory_share)
    assert 0.83 <= watts / cluster.chip.tdp_w.value <= 0.985


@given(
    step_ms=st.integers(1, 200),
    more_us=st.integers(0, 1000),
    running=st.integers(0, 10**5),
    tokens=st.integers(0, 10**9),
)
def test_one_more_sequence_never_lowers_the_energy_of_a_step(
    step_ms: int, more_us: int, running: int, tokens: int
) -> None:
    power = decode_power(DECODE)

    def joules(busy_ns: int, sequences: int, kv_tokens: int) -> float:
        return power.joules(busy_ns=busy_ns, steps=1, sequence_steps=sequences, kv_token_steps=kv_tokens, idle_ns=0)

    step_ns = step_ms * 10**6
    before_j = joules(step_ns, running, tokens)
    assert joules(step_ns + more_us * 1000, running + 1, tokens + 4096) >= before_j >= 0


@pytest.mark.parametrize("clock", [0.2, 0.6, 1.0])
@pytest.mark.parametrize("batch", [2, 48])
def test_a_slower_clock_draws_what_the_law_of_the_clock_says(clock: float, batch: int) -> None:
    point = replace(DECODE, batch_per_npu=batch, overlap=Overlap.NONE)
    work, step_s = decode_work(point, is_split=False), 0.2
    load = ClockedLoad(point.chip, work.compute_s / step_s, work.memory_s / step_s, work.clock_bound_s / step_s)
    longer_s = step_s * step_stretch(load, clock)
    requests = point.requests_per_rank * point.num_ranks
    joules = decode_power(point, clock).joules(
        busy_ns=round(longer_s * 1e9),
        steps=1,
        sequence_steps=requests,
        kv_token_steps=requests * point.context_tokens,
        idle_ns=0,
    )
    assert joules / longer_s / point.num_npus == pytest.approx(clocked_watts(load, clock), rel=1e-3)


def test_an_idle_instance_draws_what_a_loaded_model_does() -> None:
    idle_j = 160 * CLOUDMATRIX384.chip.waiting_w
    assert decode_power(DECODE).joules(
        busy_ns=0, steps=0, sequence_steps=0, kv_token_steps=0, idle_ns=10**9
    ) == pytest.approx(idle_j)


@given(busy_ns=COUNTS, idle_ns=COUNTS, steps=COUNTS, sequences=COUNTS, tokens=COUNTS)
def test_joules_lie_between_floor_and_cap(busy_ns: int, idle_ns: int, steps: int, sequences: int, tokens: int) -> None:
    power = decode_power(DECODE)
    joules = power.joules(
        busy_ns=busy_ns, steps=steps, sequence_steps=sequences, kv_token_steps=tokens, idle_ns=idle_ns
    )
    idle_j = power.draw.idle_w * idle_ns * 1e-9
    assert power.draw.floor_w * busy_ns * 1e-9 <= joules - idle_j + 1e-6
    assert joules - idle_j <= power.draw.cap_w * busy_ns * 1e-9 + 1e-6


@given(first=st.integers(0, 50), second=st.integers(0, 50))
def test_joules_of_two_spans_add_up(first: int, second: int) -> None:
    power, step_ns, sequences, tokens = decode_power(DECODE), 84_000_000, 15_360, 15_360 * 4096

    def joules(steps: int) -> float:
        return power.joules(
            busy_ns=steps * step_ns,
            steps=steps,
            sequence_steps=steps * sequences,
            kv_token_steps=steps * tokens,
            idle_ns=steps,
        )

    assert joules(first) + joules(second) == pytest.approx(joules(first + second))
