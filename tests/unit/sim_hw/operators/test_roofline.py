"""No operator runs above peak."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.chips.ascend import ASCEND_910C
from sim_hw.chips.chip import Chip, Precision
from sim_hw.chips.nvidia import GB200, H800
from sim_hw.chips.sheet import fit_of
from sim_hw.operators.operator import Operator, OperatorClass
from sim_hw.operators.roofline import busy_s, is_clock_bound, operator_s

CHIPS = st.sampled_from([ASCEND_910C, H800, GB200])
WORK_CLASSES = st.sampled_from([OperatorClass.MATRIX, OperatorClass.ATTENTION, OperatorClass.VECTOR])


@given(
    chip=CHIPS,
    kind=WORK_CLASSES,
    flops=st.floats(0, 1e15, allow_subnormal=False),
    num_bytes=st.floats(0, 1e11, allow_subnormal=False),
    share=st.floats(0.05, 1.0),
    less=st.floats(0.05, 1.0),
)
def test_nothing_runs_above_peak_or_faster_on_fewer_cores(
    chip: Chip, kind: OperatorClass, flops: float, num_bytes: float, share: float, less: float
) -> None:
    operator = Operator("any", kind, Precision.BF16, flops, num_bytes)
    seconds = operator_s(operator, chip, fit_of(chip), share)
    assert seconds * chip.die_flops(Precision.BF16) * share >= flops * (1 - 1e-9)
    assert seconds * chip.die.hbm_bytes_per_s.value >= num_bytes * (1 - 1e-9)
    assert operator_s(operator, chip, fit_of(chip), less * share) >= seconds


def test_attention_by_hand() -> None:
    # 1 TFLOP in BF16 on 16 of 24 cores of a 910C die, at the published 65.4 % of 353.9 TFLOP/s.
    operator = Operator("attention", OperatorClass.ATTENTION, flops=1e12, hbm_bytes=1e6)
    seconds = operator_s(operator, ASCEND_910C, fit_of(ASCEND_910C), 16 / 24)
    assert seconds == pytest.approx(1e12 / (353.9e12 * 0.654 * 16 / 24))


def test_waiting_does_not_depend_on_cores_and_handling_does() -> None:
    wait = Operator("wait", OperatorClass.WAIT, wait_s=1e-3)
    handling = Operator("handling", OperatorClass.REQUEST, wait_s=1e-3)
    # Half of the cores do what cores divide in twice the time, and the rest in the same.
    divided = fit_of(ASCEND_910C).handling_core_share.value
    seconds = busy_s((wait, handling, wait), ASCEND_910C, fit_of(ASCEND_910C), 0.5)
    assert seconds == {"wait": 2e-3, "handling": pytest.approx((1 + divided) * 1e-3)}
    assert 0 < divided < 1


@pytest.mark.parametrize(
    ("operator", "bound"),
    [
        (Operator("large product", OperatorClass.MATRIX, flops=1e13, hbm_bytes=1e8), True),
        (Operator("product of few rows", OperatorClass.MATRIX, flops=1e10, hbm_bytes=1e9), False),
        (Operator("norm", OperatorClass.VECTOR, hbm_bytes=1e9), True),
        (Operator("handling", OperatorClass.REQUEST, wait_s=1e-3), True),
        (Operator("exchange", OperatorClass.WAIT, wait_s=1e-3), False),
    ],
    ids=lambda one: one.name if isinstance(one, Operator) else "",
)
def test_a_lower_clock_slows_what_cores_bound(operator: Operator, bound: bool) -> None:
    assert is_clock_bound(operator, ASCEND_910C, fit_of(ASCEND_910C)) is bound
