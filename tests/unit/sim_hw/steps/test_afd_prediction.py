"""Rates over both sides, and what each side holds."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sim_hw.errors import DoesNotFitError
from sim_hw.steps.afd_prediction import UNMEASURED_SPLIT_ERROR, afd_memory, check_afd, predict_afd
from sim_hw.steps.die_memory import decode_memory
from tests.unit.sim_hw.steps.test_afd_step import PUBLISHED


def test_an_answer_is_consistent() -> None:
    answer = predict_afd(PUBLISHED)
    assert answer.iteration_s == pytest.approx(1.7 * answer.tpot_s)
    assert answer.tokens_per_s_per_npu * 160 == pytest.approx(128 * 96 / answer.tpot_s)
    assert answer.error_bar > UNMEASURED_SPLIT_ERROR.value


def test_the_sides_hold_what_a_die_with_both_would() -> None:
    attention, ffn = (one.parts_bytes for one in afd_memory(PUBLISHED))
    both = decode_memory(PUBLISHED).parts_bytes
    weights = [sum(size for name, size in one.items() if "weights" in name) for one in (attention, ffn, both)]
    assert weights[0] + weights[1] == pytest.approx(weights[2])
    assert attention["kv"] == both["kv"]
    assert "kv" not in ffn
    assert "weights_attention" not in ffn
    # Rows of 256 dies, each for the five experts of a die at most, 21.5 KiB there and back.
    assert ffn["buffers"] == 256 * 96 * 5 * 21.5 * 1024


def test_a_side_that_does_not_fit_is_named_with_numbers_and_mend() -> None:
    with pytest.raises(
        DoesNotFitError, match=r"a die of attention needs \d+\.\d GB, 64 GB available: lower --batch"
    ) as caught:
        check_afd(replace(PUBLISHED, batch_per_npu=600))
    batch = int(str(caught.value).rsplit(" ", 1)[1])
    assert all(memory.fits for memory in check_afd(replace(PUBLISHED, batch_per_npu=batch)))
    assert not all(memory.fits for memory in afd_memory(replace(PUBLISHED, batch_per_npu=batch + 2)))
    with pytest.raises(DoesNotFitError, match=r"a die of experts needs \d+\.\d GB, 64 GB available: raise F of --afd"):
        check_afd(replace(PUBLISHED, ffn_npus=4, ep=8))
