"""Costs by share come from the grid, and the whole is what was given."""

from __future__ import annotations

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.instance.compiled_decode import DecodeSteps, compile_decode
from sim_hw.instance.compiled_prefill import compile_prefill
from sim_hw.instance.ub_shares import PPM, AtShares
from sim_hw.models.published import DEEPSEEK_R1
from sim_hw.steps.default_points import default_decode_point, default_prefill_point
from sim_hw.steps.ub_share import with_ub_share


def test_the_nearest_share_is_compiled_once_and_the_whole_never() -> None:
    made: list[float] = []
    costs = AtShares("whole", lambda share: made.append(share) or f"{share:.2f}")
    assert [costs.at(ppm) for ppm in (PPM, 995_000, 505_000, 495_000, 0)] == ["whole", "whole", "0.50", "0.50", "0.02"]
    assert made == [0.5, 0.02]


def test_a_pass_lasts_longer_the_smaller_the_share() -> None:
    point = default_prefill_point(CLOUDMATRIX384, DEEPSEEK_R1)
    costs = AtShares(compile_prefill(point), lambda share: compile_prefill(with_ub_share(point, share)))
    lengths = [costs.at(ppm).prefill_ns(65_536, 65_536 * 4096, 8_192) for ppm in (PPM, 800_000, 500_000, 100_000)]
    assert lengths == sorted(lengths)
    # A quarter of the line, of which half is hidden: as docs/expert-traffic.md tells.
    assert 1.05 < lengths[2] / lengths[0] < 1.15


def test_forms_of_different_shares_are_different_ways() -> None:
    point = default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1)
    whole = DecodeSteps(compile_decode(point, 48), 320).form(3_200, 3_200 * 4096)
    part = DecodeSteps(compile_decode(with_ub_share(point, 0.5), 48), 320, first_way=100).form(3_200, 3_200 * 4096)
    assert part.way >= 100 > whole.way
    assert part.die_step_ps(10, 40_960) > whole.die_step_ps(10, 40_960)
