"""One aggregated instance in the steady state: what comes is what goes, on any hardware."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.errors import DoesNotFitError, OperatingPointError, TargetError
from sim_hw.models.published import DEEPSEEK_R1
from sim_hw.steps.aggregated_prediction import (
    largest_aggregated_batch,
    predict_aggregated,
    tpot_s,
)
from sim_hw.steps.aggregated_step import AggregatedPoint, aggregated_point, aggregated_steps, idle_ttft_s, with_batch
from sim_hw.steps.decode_step import decode_step
from sim_hw.steps.default_points import default_decode_point, default_prefill_point
from sim_hw.steps.die_memory import aggregated_memory, decode_memory, prefill_memory
from sim_hw.steps.predict import predict_prefill
from tests.unit.sim_hw.known import SUPERNODES
from tests.unit.sim_hw.steps.test_mixed_step import INSTANCES

MOST_PROMPT = 4096


def point(prompt: int = 4096, output: int = 1024, budget: int = 512, reuse: float = 0.0) -> AggregatedPoint:
    """Of 16 NPUs of CloudMatrix384 with 24 requests each."""
    decode = replace(default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1), num_npus=16, ep=32, batch_per_npu=24)
    prefill = default_prefill_point(CLOUDMATRIX384, DEEPSEEK_R1)
    load = replace(prefill, prompt_tokens=prompt, batch_tokens_per_npu=budget, reuse=reuse)
    return aggregated_point(decode, load, output)


@given(
    which=st.integers(0, len(INSTANCES) - 1),
    prompt=st.integers(1, MOST_PROMPT),
    output=st.integers(2, 4096),
    budget=st.integers(16, 8192),
    reuse=st.floats(0.0, 1.0),
)
def test_an_answer_adds_up(which: int, prompt: int, output: int, budget: int, reuse: float) -> None:
    decode, prefill = INSTANCES[which]
    load = replace(prefill, prompt_tokens=prompt, batch_tokens_per_npu=budget, reuse=reuse)
    asked = aggregated_point(decode, load, output)
    try:
        found = largest_aggregated_batch(asked)
    except OperatingPointError:  # one request is too much for such a budget
        assert asked.most_balanced_batch == 0
        return
    answer = predict_aggregated(found)
    assert sum(answer.exposed_s.values()) == pytest.approx(answer.iteration_s)
    assert answer.decode_step_s <= answer.iteration_s * (1 + 1e-9)
    assert answer.iteration_s <= answer.mixed_step_s * (1 + 1e-9)
    # A handful of tokens among experts may take a hair more than a few more of them.
    assert answer.mixed_step_s <= answer.full_step_s * 1.01
    assert 0.0 < answer.mixed_share <= 1.0
    assert answer.chunk_tokens_per_npu * found.decode.num_npus <= found.room_tokens * (1 + 1e-3)
    # What is computed of prompts in all steps is what comes: the prompts of those that end.
    computed_per_s = answer.mixed_share * answer.chunk_tokens_per_npu / answer.iteration_s * found.decode.num_npus
    assert computed_per_s == pytest.approx(answer.requests_per_s * found.computed_tokens)
    # A request has its place for all tokens but the first (Little's law).
    assert answer.requests_per_s * answer.tpot_s * (output - 1) == pytest.approx(found.num_running)
    assert answer.tokens_per_s_per_npu / answer.prompt_tokens_per_s_per_npu == pytest.approx(output / prompt)


def test_hardly_any_prompt_is_decode_alone() -> None:
    asked = point(prompt=1, output=100_000)
    assert aggregated_steps(asked).mean.seconds == pytest.approx(decode_step(asked.decode).step.seconds, rel=0.01)


def test_where_all_rows_are_taken_each_step_is_full() -> None:
    asked = point()
    full = with_batch(asked, asked.most_balanced_batch)
    answer = predict_aggregated(full)
    assert answer.mixed_share > 0.99
    assert answer.mixed_step_s == pytest.approx(answer.full_step_s, rel=0.01)


def test_the_first_token_of_an_idle_instance_is_that_of_passes() -> None:
    asked = point(prompt=8192)
    alone = predict_prefill(replace(asked.prefill, batch_tokens_per_npu=512))
    assert idle_ttft_s(asked) == pytest.approx(alone.ttft_s, rel=1e-6)
    twice = point(prompt=16_384)
    assert 2.0 * idle_ttft_s(asked) < idle_ttft_s(twice) < 2.5 * idle_ttft_s(asked)
    assert idle_ttft_s(point(prompt=8192, reuse=0.5)) < idle_ttft_s(asked)


def test_a_smaller_budget_shortens_the_longest_step_and_lengthens_the_first_token() -> None:
    small, large = (predict_aggregated(with_batch(point(16_384, budget=budget), 4)) for budget in (256, 1024))
    assert small.full_step_s < large.full_step_s
    assert small.ttft_s > large.ttft_s


@pytest.mark.parametrize("cluster", SUPERNODES, ids=lambda one: one.name)
def test_the_largest_batch_is_the_last_that_keeps_the_limit(cluster: object) -> None:
    decode, prefill = next(one for one in INSTANCES if one[0].cluster is cluster)
    asked = aggregated_point(decode, replace(prefill, batch_tokens_per_npu=1024), 512)
    limit_s = 2.0 * tpot_s(with_batch(asked, 1))
    found = largest_aggregated_batch(asked, limit_s)
    predict_aggregated(found)
    assert tpot_s(found) <= limit_s
    above = with_batch(found, found.decode.batch_per_npu + 1)
    assert (
        above.decode.batch_per_npu > above.most_balanced_batch
        or not aggregated_memory(above.decode, above.prefill).fits
        or tpot_s(above) > limit_s
    )


def test_memory_is_that_of_decode_with_the_larger_buffers() -> None:
    asked = point()
    both, decode, prefill = (
        aggregated_memory(asked.decode, asked.prefill).parts_bytes,
        decode_memory(asked.decode).parts_bytes,
        prefill_memory(asked.prefill).parts_bytes,
    )
    assert both["buffers"] == max(decode["buffers"], prefill["buffers"])
    assert {name: size for name, size in both.items() if name != "buffers"} == {
        name: size for name, size in decode.items() if name != "buffers"
    }


def test_what_cannot_be_is_refused_with_numbers_and_mend() -> None:
    asked = point()
    with pytest.raises(
        OperatingPointError,
        match=r"96 requests of an NPU take 192 of the 512 token rows of a step, and in each step prompts of 653 tokens "
        r"come for those that end: lower --batch to 58 or raise --token-budget to 846",
    ):
        predict_aggregated(with_batch(asked, 96))
    predict_aggregated(with_batch(asked, 58))
    predict_aggregated(with_batch(point(budget=846), 96))
    with pytest.raises(OperatingPointError, match="raise --token-budget to"):
        predict_aggregated(with_batch(point(prompt=100_000, output=2, budget=16), 1))
    with pytest.raises(OperatingPointError, match=r"1 output tokens: .* raise --output, or ask model prefill"):
        predict_aggregated(point(output=1))
    with pytest.raises(OperatingPointError, match="lower --output"):
        predict_aggregated(point(prompt=160_000, output=8192))
    with pytest.raises(DoesNotFitError, match=r"needs \d+\.\d GB per die, 64 GB available: lower --batch to 96"):
        predict_aggregated(with_batch(point(budget=100_000), 400))
    with pytest.raises(TargetError, match=r"TPOT is \d+\.\d ms even at a batch of 1, 1\.0 ms asked for"):
        largest_aggregated_batch(asked, 1e-3)
