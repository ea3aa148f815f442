"""An all-to-all takes of a die's link what its bytes are, and a part of the link makes only these slower."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.models.published import DEEPSEEK_R1
from sim_hw.operators.collectives import ExpertAllToAll, package_share
from sim_hw.operators.layout import expert_layout
from sim_hw.steps.decode_step import decode_step
from sim_hw.steps.default_points import default_decode_point, default_prefill_point
from sim_hw.steps.prefill_pass import prefill_pass
from sim_hw.steps.ub_share import decode_link_s, prefill_link_s, with_ub_share

DECODE = default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1)
PREFILL = default_prefill_point(CLOUDMATRIX384, DEEPSEEK_R1)


def test_a_step_takes_the_line_for_its_bytes_at_the_measured_rate() -> None:
    layout, fit = expert_layout(DECODE), fit_of(DECODE.chip)
    assert layout is not None
    all_to_all = ExpertAllToAll(CLOUDMATRIX384, fit, DECODE.ep, DEEPSEEK_R1.hidden, layout.messages_per_row)
    payload = sum(all_to_all.payload_bytes(name, DECODE.rows_per_request) for name in ("dispatch", "combine"))
    wire = payload * (1 - package_share(CLOUDMATRIX384, DECODE.ep)) * (DEEPSEEK_R1.moe_layers + DECODE.mtp_k)
    assert decode_link_s(DECODE) == pytest.approx(wire / 137e9)


def test_a_full_pass_takes_a_quarter_of_the_line_and_cached_tokens_only_what_is_gathered() -> None:
    computed_s, cached_s = prefill_link_s(PREFILL)
    tokens = PREFILL.batch_tokens_per_npu / 2
    assert 0.2 < computed_s * tokens / prefill_pass(PREFILL).whole.seconds < 0.35
    assert 0 < cached_s < computed_s / 5


def test_the_whole_line_changes_nothing_and_less_of_it_never_speeds_anything() -> None:
    assert with_ub_share(PREFILL, 1.0) == PREFILL
    assert with_ub_share(DECODE, 1.0) == DECODE
    shares = [1.0, 0.9, 0.5, 0.2, 0.02]
    passes = [prefill_pass(with_ub_share(PREFILL, share)).whole.seconds for share in shares]
    steps = [decode_step(with_ub_share(DECODE, share)).step.seconds for share in shares]
    assert passes == sorted(passes)
    assert steps == sorted(steps)


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_what_a_step_waits_for_longer_is_at_most_what_the_line_takes_longer(share: float) -> None:
    waited = decode_step(with_ub_share(DECODE, share)).step.seconds - decode_step(DECODE).step.seconds
    assert 0 < waited <= (1 / share - 1) * decode_link_s(DECODE) * DECODE.requests_per_rank * 1.000001


def test_an_all_to_all_over_another_plane_takes_nothing_of_ub() -> None:
    alone = replace(DECODE, num_npus=1, ep=1, slots_per_rank=257)
    assert decode_link_s(alone) == 0.0
