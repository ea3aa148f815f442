"""As many as bring use back to its target, as Kubernetes counts them."""

from __future__ import annotations

import pytest

from scheduler.policies.scaling.threshold import Threshold
from scheduler.protocol.errors import ConfigError
from tests.unit.scheduler.policies.scaling.samples import for_minutes, sample, view


@pytest.mark.parametrize(
    ("busy", "serving", "wanted"),
    [
        (0.9, 4, 6),  # 3.6 in use, target 0.6
        (0.6, 4, 4),
        (0.65, 4, 4),  # within a tenth
        (0.67, 4, 5),
        (0.3, 4, 3),  # 1.2 in use: two would be in use for 0.6 each, with nothing to spare
        (0.2, 4, 2),
        (0.0, 4, 0),  # the bounds are the scaler's
        (1.0, 1, 2),
    ],
)
def test_prefill_goes_by_busy_share(busy: float, serving: int, wanted: int) -> None:
    steady = sample({"busy_share": busy, "serving": serving})
    assert Threshold().wanted(view(*for_minutes(10, steady))).instances["prefill"] == wanted


def test_decode_goes_by_kv() -> None:
    full = sample(decode={"kv_tokens": 1_800})
    assert Threshold().wanted(view(*for_minutes(10, full))).instances["decode"] == 3


def test_those_that_start_are_counted() -> None:
    busy = sample({"busy_share": 0.9, "serving": 4, "starting": 2})
    assert Threshold().wanted(view(*for_minutes(10, busy))).instances["prefill"] == 6


def test_it_goes_down_only_when_no_more_was_wanted_for_a_while() -> None:
    busy, idle = sample({"busy_share": 0.9}), sample({"busy_share": 0.1})
    before, after = (
        Threshold(use_window_s=30.0, down_window_s=300.0).wanted(view(*for_minutes(5, busy), *for_minutes(calm, idle)))
        for calm in (4.5, 5)
    )
    assert before.instances["prefill"] == 2
    assert after.instances["prefill"] == 1


def test_a_fleet_that_has_only_just_begun_is_not_made_smaller() -> None:
    assert Threshold().wanted(view(sample())).instances == {"prefill": 2, "decode": 2}


def test_it_says_why() -> None:
    assert Threshold().wanted(view(sample())).reason == (
        "prefill 0.00 of 2 in use, target 0.6, decode 0.00 of 2 in use, target 0.6"
    )


def test_a_target_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="prefill_target=0"):
        Threshold(prefill_target=0.0)
