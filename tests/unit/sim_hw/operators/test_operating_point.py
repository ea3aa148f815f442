"""Points that cannot exist are refused in one line that names the fix."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.errors import OperatingPointError
from sim_hw.models.published import DEEPSEEK_R1, QWEN3_235B_A22B
from sim_hw.planes import Plane
from sim_hw.steps.default_points import default_decode_point, default_prefill_point

DECODE = default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1)
PREFILL = default_prefill_point(CLOUDMATRIX384, DEEPSEEK_R1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_npus": 0}, "at least 1 NPU, not 0: raise --npus"),
        ({"num_npus": 400}, "400 NPUs for an instance, cloudmatrix384 has 384: lower --npus"),
        ({"ep": 0}, "change --ep"),
        ({"ep": 400}, "400 ranks needs 1 to 320 .* 160 NPUs: change --ep or --npus"),
        ({"batch_per_npu": 0}, "batch per NPU is at least 1, not 0: raise --batch"),
        ({"context_tokens": 0}, "context is at least 1, not 0: raise --context"),
        ({"context_tokens": 200_000}, "200000 tokens are beyond the 163840 positions .*: lower --context"),
        ({"mtp_k": -1}, "--mtp 0"),
        ({"acceptance": 1.5}, "acceptance 1.5 is no probability"),
        ({"model": QWEN3_235B_A22B}, "has 0 MTP modules: --mtp 0 switches them off"),
    ],
)
def test_decode_points(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(OperatingPointError, match=says) as caught:
        replace(DECODE, **changes).check()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_npus": -1}, "raise --npus"),
        ({"batch_tokens_per_npu": 0}, "raise --batch-tokens"),
        ({"prompt_tokens": 0}, "raise --prompt"),
        ({"prompt_tokens": 163_841}, "lower --prompt"),
        ({"reuse": -0.1}, "give --reuse 0 to 1"),
        ({"cache_plane": Plane.RDMA}, "change --cache-plane"),
    ],
)
def test_prefill_points(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(OperatingPointError, match=says):
        replace(PREFILL, **changes).check()


def test_the_published_points_exist() -> None:
    DECODE.check()
    PREFILL.check()
    assert (DECODE.requests_per_rank, DECODE.rows_per_request, DECODE.num_ranks) == (48, 2, 320)
    assert (PREFILL.tokens_per_rank, PREFILL.prompts_per_rank) == (8192, 2)


def test_expected_tokens_of_an_iteration() -> None:
    assert DECODE.tokens_per_iteration == pytest.approx(1.7)
    assert replace(DECODE, mtp_k=0).tokens_per_iteration == 1
    assert replace(DECODE, mtp_k=2, acceptance=0.5).tokens_per_iteration == 1.75
