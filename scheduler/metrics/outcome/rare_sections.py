"""Sections of the table of a run on what only few runs have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.metrics.outcome.cells import count_cell, rate_cell, si_cell
from scheduler.metrics.outcome.sections import Section

if TYPE_CHECKING:  # a summary knows more than a section shows
    from scheduler.metrics.outcome.summary import Summary


def cache_policy_section(summary: Summary) -> Section:
    """What was done for sessions, where a policy was asked."""
    did = summary.others.get("cache_policy")
    if did is None:
        return Section("Cache policy", (), ())
    blocks = (count_cell(did[name]) for name in ("kept_blocks", "expired_blocks"))
    tokens = (si_cell(did[name], "tok") for name in ("prefetched_tokens", "prefetch_used_tokens"))
    names = ("blocks kept", "expired", "prefetched", "of them used")
    return Section("Cache policy", names, (("", *blocks, *tokens),))


def scaling_section(summary: Summary) -> Section:
    """Instances that came and went, in a run in which any may."""
    scaling = summary.others.get("scaling")
    if scaling is None:
        return Section("Scaling", (), ())
    columns = ("NPU hours", "mean instances", "started", "drained")
    rows = tuple(
        (
            role,
            rate_cell(one.npu_hours),
            rate_cell(one.mean_instances),
            count_cell(one.started),
            count_cell(one.drained),
        )
        for role, one in scaling.by_role.items()
    )
    return Section("Scaling", columns, rows)
