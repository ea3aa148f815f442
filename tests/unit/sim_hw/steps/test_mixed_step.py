"""A step over sequences and prompts together: between its longer part and both one after the other, on any hardware."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.instance.compiled_decode import compile_decode
from sim_hw.instance.compiled_mixed import compile_mixed
from sim_hw.instance.compiled_prefill import compile_prefill
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B, QWEN3_235B_A22B
from sim_hw.operators.layout import expert_layout, tensor_ranks
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint
from sim_hw.steps.decode_step import decode_step
from sim_hw.steps.default_points import default_decode_point, default_prefill_point
from sim_hw.steps.mixed_step import mixed_model, mixed_step, mixed_step_s
from sim_hw.steps.prefill_pass import PassTokens, PrefillModel, pass_time
from sim_hw.steps.step_time import total
from tests.unit.sim_hw.known import SUPERNODES

MOST_REQUESTS = 64
MOST_TOKENS = 2048.0
NO_TOKENS = PassTokens(0.0, 0.0, 0.0)


def parts(cluster: str, model: str) -> tuple[DecodePoint, PrefillPoint]:
    """Of an instance of the size that decode has by default, laid out as decode is."""
    found = next(one for one in SUPERNODES if one.name == cluster)
    shape = next(one for one in (DEEPSEEK_R1, QWEN3_235B_A22B, LLAMA_3_1_70B) if one.name == model)
    decode = default_decode_point(found, shape)
    prefill = default_prefill_point(found, shape)
    return decode, replace(prefill, num_npus=decode.num_npus, ep=decode.ep, slots_per_rank=decode.slots_per_rank)


def shared(ep: int, tp: int, expert_tp: int) -> tuple[DecodePoint, PrefillPoint]:
    """Of 16 NPUs whose ranks share attention and experts."""
    decode, prefill = parts(CLOUDMATRIX384.name, DEEPSEEK_R1.name)
    layout = {"num_npus": 16, "ep": ep, "tp": tp, "expert_tp": expert_tp}
    return replace(decode, **layout), replace(prefill, **layout)


INSTANCES = [
    *(parts(one.name, model.name) for one in SUPERNODES for model in (DEEPSEEK_R1, QWEN3_235B_A22B, LLAMA_3_1_70B)),
    shared(32, 2, 1),
    shared(8, 4, 4),
    shared(4, 32, 8),
]
COMPILED = [
    (compile_decode(d, MOST_REQUESTS), compile_prefill(p), compile_mixed(d, p, MOST_REQUESTS, MOST_TOKENS))
    for d, p in INSTANCES
]
WHICH = st.integers(0, len(INSTANCES) - 1)
REQUESTS = st.integers(1, MOST_REQUESTS)
TOKENS = st.one_of(st.integers(1, int(MOST_TOKENS)), st.integers(1, 64))
CONTEXT = st.integers(1, 8192)


def loaded(point: DecodePoint, requests: int, context: int) -> DecodePoint:
    """So many requests on each die."""
    return replace(point, batch_per_npu=requests * point.chip.num_dies.count, context_tokens=context)


def chunk(decode: DecodePoint, tokens: int) -> PassTokens:
    """So many tokens for each die, of prompts of that length."""
    computed = float(tokens * tensor_ranks(decode))
    return PassTokens(computed, 0.0, computed * (tokens + 1) / 2)


@given(which=WHICH, requests=REQUESTS, context=CONTEXT)
def test_without_prompts_it_is_the_decode_step(which: int, requests: int, context: int) -> None:
    decode, prefill = INSTANCES[which]
    point = loaded(decode, requests, context)
    assert mixed_step_s(point, prefill, NO_TOKENS) == decode_step(point).step.seconds


@given(which=WHICH, requests=REQUESTS, context=CONTEXT, tokens=TOKENS)
def test_it_lasts_from_the_longer_part_to_both(which: int, requests: int, context: int, tokens: int) -> None:
    decode, prefill = INSTANCES[which]
    point, work = loaded(decode, requests, context), chunk(decode, tokens)
    model = PrefillModel(prefill, fit_of(prefill.chip), expert_layout(prefill))
    step_s, pass_s = decode_step(point).step.seconds, pass_time(model, work).whole.seconds
    mixed_s = mixed_step_s(point, prefill, work)
    assert max(step_s, pass_s) <= mixed_s < step_s + pass_s


@given(which=WHICH, requests=REQUESTS, context=CONTEXT, tokens=TOKENS)
def test_its_operators_sum_to_it_and_each_is_at_most_that_of_both_parts(
    which: int, requests: int, context: int, tokens: int
) -> None:
    decode, prefill = INSTANCES[which]
    point, work = loaded(decode, requests, context), chunk(decode, tokens)
    mixed, step = mixed_step(point, prefill, work), decode_step(point).step
    model = PrefillModel(prefill, fit_of(prefill.chip), expert_layout(prefill))
    apart = total([step, pass_time(model, work).whole])
    assert mixed.seconds == pytest.approx(mixed_step_s(point, prefill, work))
    assert set(mixed.busy_s) == set(apart.busy_s)
    assert all(0.0 <= seconds <= apart.busy_s[name] for name, seconds in mixed.busy_s.items())


def test_weights_are_read_once() -> None:
    # One token of each die beside one request: both parts wait for weights, which is nearly all that they do.
    decode, prefill = parts(CLOUDMATRIX384.name, LLAMA_3_1_70B.name)
    ranks = tensor_ranks(decode)
    saved_s = mixed_model(decode, prefill).saved_s(ranks, ranks)
    shape, die = decode.model, decode.chip.die
    weights = shape.layers * (shape.dense_parameters + shape.attention_shared_parameters) / ranks
    rate = die.hbm_bytes_per_s.value * fit_of(decode.chip).memory_efficiency.value
    assert saved_s > 0.9 * weights * decode.precision.bytes_per_element / rate


@given(which=WHICH, requests=REQUESTS, context=CONTEXT, tokens=TOKENS)
def test_what_engines_use_is_the_model_within_two_percent(which: int, requests: int, context: int, tokens: int) -> None:
    decode, prefill = INSTANCES[which]
    steps, passes, mixed = COMPILED[which]
    point, work = loaded(decode, requests, context), chunk(decode, tokens)
    form = steps.form(requests, requests, requests * context)
    computed = tokens * decode.num_ranks
    pairs = computed * (tokens + 1) // 2
    found_ps = mixed.mixed_ps(
        form.die_step_ps(requests, requests * context),
        passes.prefill_ns(computed, pairs, 0),
        requests * decode.num_ranks,
        computed,
    )
    exact_s = mixed_step_s(point, prefill, work)
    assert abs(found_ps / 1e12 - exact_s) < 0.02 * exact_s
