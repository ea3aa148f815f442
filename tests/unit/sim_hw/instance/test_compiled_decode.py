"""What engines use is the model itself, within half a percent, and affine in KV between changes of membership."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.chips.chip import ExpertWeights, Precision
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.hopper import H20_CLUSTER
from sim_hw.clusters.supernode import Overlap, Supernode
from sim_hw.errors import OperatingPointError
from sim_hw.instance.compiled_decode import compile_decode
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B, QWEN3_235B_A22B
from sim_hw.operators.operating_point import Drafter
from sim_hw.steps.decode_step import decode_step
from sim_hw.steps.default_points import default_decode_point
from tests.unit.sim_hw.known import SMALL, SUPERNODES

MOST_REQUESTS = 200


def in_formats(cluster: Supernode) -> Supernode:
    """Served with 8-bit KV and experts of 4 bits."""
    kv = Precision.FP8 if cluster.chip.die.peak.fp8 else Precision.INT8
    defaults = replace(cluster.defaults, kv_precision=kv, expert_weights=ExpertWeights.W4A8)
    return replace(cluster, defaults=defaults)


WITH_OVERLAPS = [
    replace(default_decode_point(cluster, model), overlap=overlap)
    for cluster in SUPERNODES
    for model in (DEEPSEEK_R1, QWEN3_235B_A22B, LLAMA_3_1_70B)
    for overlap in Overlap
]
OTHERS = (
    {"mtp_k": 3},
    {"mtp_k": 2, "drafter": Drafter.EAGLE},
    {"mtp_k": 4, "drafter": Drafter.NGRAM},
    {"mtp_k": 2, "drafter": Drafter.MODEL, "draft_model": SMALL},
    {"mtp_k": 2, "overlap": Overlap.NONE},
)
WITH_DRAFTS = [replace(default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1), **fields) for fields in OTHERS]
WITH_FORMATS = [
    replace(default_decode_point(in_formats(cluster), DEEPSEEK_R1), mtp_k=drafts)
    for cluster in (CLOUDMATRIX384, H20_CLUSTER)
    for drafts in (0, 2)
]
LAYOUTS = (
    {"tp": 2, "ep": 16},
    {"tp": 16, "ep": 16},
    {"tp": 2, "ep": 4, "expert_tp": 4},
    {"tp": 16, "ep": 2, "expert_tp": 8, "mtp_k": 2},
    {"ep": 1, "expert_tp": 16},
)
WITH_LAYOUTS = [
    replace(default_decode_point(cluster, DEEPSEEK_R1), num_npus=16, **layout)
    for cluster in (CLOUDMATRIX384, H20_CLUSTER)
    for layout in LAYOUTS
]
INSTANCES = [*WITH_OVERLAPS, *WITH_DRAFTS, *WITH_FORMATS, *WITH_LAYOUTS]
COMPILED = [compile_decode(point, MOST_REQUESTS) for point in INSTANCES]
WHICH = st.integers(0, len(INSTANCES) - 1)
REQUESTS = st.integers(1, MOST_REQUESTS)
TOLERANCE = 0.005

PUBLISHED = default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1)
ON_CLOUDMATRIX = compile_decode(PUBLISHED, 48)


@given(which=WHICH, requests=REQUESTS, context=st.integers(1, 32_768))
def test_equally_loaded_dies_step_as_the_model_says(which: int, requests: int, context: int) -> None:
    point, compiled = INSTANCES[which], COMPILED[which]
    batch = requests * point.chip.num_dies.count
    expected_s = decode_step(replace(point, batch_per_npu=batch, context_tokens=context)).step.seconds
    form = compiled.form(requests, requests, requests * context)
    assert form.die_step_ps(requests, requests * context) * 1e-12 == pytest.approx(expected_s, rel=TOLERANCE)


@given(which=WHICH, mean=st.floats(0.01, MOST_REQUESTS), requests=REQUESTS, context=st.integers(1, 32_768))
def test_a_held_form_is_convex_and_grows_with_kv_and_requests(
    which: int, mean: float, requests: int, context: int
) -> None:
    form = COMPILED[which].form(mean, requests, requests * context)
    steps = [form.die_step_ps(requests, kv_tokens) for kv_tokens in (0, requests * context, 2 * requests * context)]
    assert steps[0] <= steps[1] <= steps[2]
    assert steps[1] - steps[0] <= steps[2] - steps[1]
    assert form.die_step_ps(requests - 1, requests * context) <= steps[1]
    assert len(form.streams) <= 2


@given(mean=st.floats(0.01, 48), requests=st.integers(1, 48), context=st.integers(1, 32_768))
def test_the_way_that_was_chosen_is_the_fastest_of_all(mean: float, requests: int, context: int) -> None:
    kv_tokens = requests * context
    chosen_ps = ON_CLOUDMATRIX.form(mean, requests, kv_tokens).die_step_ps(requests, kv_tokens)
    for other_requests, other_context in ((1, 16), (48, 512), (48, 4096), (48, 32_768)):
        other = ON_CLOUDMATRIX.form(mean, other_requests, other_requests * other_context)
        assert chosen_ps <= other.die_step_ps(requests, kv_tokens) + 2  # rounding of two lines


def test_the_published_step_is_split_as_published_and_integers() -> None:
    form = ON_CLOUDMATRIX.form(48.0, 48, 48 * 4096)
    assert ON_CLOUDMATRIX.ways[form.way].attention_cores == 16
    assert [type(line.kv_ps) for line in form.streams] == [int, int]
    # Attention's slope: 2 rows x 61 layers and the draft's, at 65.4 % of 16 cores' BF16 peak or of all in dense layers.
    flops = 2 * 128 * (2 * 512 + 64) * 2
    expected_s = flops / (353.9e12 * 0.654) * (59 * 24 / 16 + 3)
    assert form.streams[0].kv_ps == pytest.approx(expected_s * 1e12, rel=1e-3)


def test_an_instance_that_cannot_exist() -> None:
    with pytest.raises(OperatingPointError):
        compile_decode(replace(PUBLISHED, num_npus=0), 48)


@given(means=st.lists(st.floats(0.5, 48), min_size=2, max_size=6), context=st.integers(1, 32_768))
def test_forms_of_one_way_differ_in_constants_only(means: list[float], context: int) -> None:
    forms = [ON_CLOUDMATRIX.form(mean, 48, 48 * context) for mean in means]
    for one, other in pairwise(forms):
        if one.way == other.way:
            assert [line.kv_ps for line in one.streams] == [line.kv_ps for line in other.streams]
            assert all((a.base_ps == b.base_ps).all() for a, b in zip(one.streams, other.streams))
