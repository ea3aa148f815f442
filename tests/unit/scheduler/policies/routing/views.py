"""Builds what a policy sees, with plain defaults, so that a test says only what it varies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scheduler.policies.view import Columns, PolicyContext, RequestView, StageKind

PREFILL = PolicyContext(StageKind.PREFILL)
DECODE = PolicyContext(StageKind.DECODE)


def chance(stage: StageKind = StageKind.PREFILL, seed: int = 0) -> PolicyContext:
    """A context with a stream."""
    generator = np.random.default_rng(seed)
    return PolicyContext(stage, lambda: generator)


def stage_of(
    requests: Sequence[int],
    *,
    tokens: Sequence[int] | None = None,
    running: Sequence[int] | None = None,
    kv: Sequence[int] | None = None,
    capacity: Sequence[int] | None = None,
    rates: Sequence[float] | None = None,
    reported: Sequence[int] | None = None,
    sizes: Sequence[int] | None = None,
    supernodes: Sequence[int] | None = None,
) -> Columns:
    """As many instances as `requests` has entries."""
    zeros = [0] * len(requests)
    return Columns(
        requests,
        tokens or zeros,
        running or zeros,
        kv or zeros,
        capacity or zeros,
        rates or [0.0] * len(requests),
        reported or zeros,
        sizes or zeros,
        supernodes or zeros,
    )


def request_of(
    total: int,
    held: Sequence[int],
    *,
    cached: int = 0,
    block_tokens: int = 100,
    backlog: Sequence[float] = (),
    work: Sequence[float] = (),
) -> RequestView:
    """A prompt of `total` tokens."""
    return RequestView(0, total - cached, total, cached, [], 0, block_tokens, held, backlog, work)
