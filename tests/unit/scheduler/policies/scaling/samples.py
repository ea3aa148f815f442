"""Views of fleets that do one thing all the time, or one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from scheduler.policies.scaling_view import (
    OutputWork,
    PromptWork,
    RoleFacts,
    RoleSample,
    ScalingSample,
    ScalingView,
)

INTERVAL_S = 30.0

IDLE = RoleSample(2, 0, 0, 2, 0, 0, 0, 0, 2_000, 0.0, 0, 0.0, 1)

ROLES = {"prefill": IDLE, "decode": IDLE}

EMPTY = ScalingSample(0.0, INTERVAL_S, 0, 0, 0, 0, 0, 0.0, 0, 0, 0.0, 0, 0, 0, 0.0, 0, 0.1, ROLES)


def sample(
    prefill: Mapping[str, Any] | None = None, decode: Mapping[str, Any] | None = None, **told: Any
) -> ScalingSample:
    """An interval in which nothing happened but what is told."""
    computing, decoding = replace(IDLE, **(prefill or {})), replace(IDLE, **(decode or {}))
    one = computing
    prompts = PromptWork(one.outstanding_tokens, one.num_tokens, one.busy_share, one.busy_share, one.step_s)
    two = decoding
    outputs = OutputWork(two.outstanding_requests, two.num_tokens, two.step_s, two.step_s)
    roles = {"prefill": replace(computing, prompts=prompts), "decode": replace(decoding, outputs=outputs)}
    return replace(EMPTY, roles=roles, **told)


def view(*samples: ScalingSample, at: int = 0, **told: Any) -> ScalingView:
    """These intervals, the first of which is number `at`, and the last of which ends now."""
    placed = [replace(one, at_s=(at + i + 1) * INTERVAL_S) for i, one in enumerate(samples)]
    facts = RoleFacts(16, 1, 10, 8)
    whole = ScalingView(INTERVAL_S, 2.0, 0.05, placed, {"prefill": facts, "decode": facts}, (0.1, 0.1), 64, 0)
    return replace(whole, **told)


def for_minutes(minutes: float, one: ScalingSample) -> Sequence[ScalingSample]:
    """The same interval again and again."""
    return [one] * round(60 * minutes / INTERVAL_S)
