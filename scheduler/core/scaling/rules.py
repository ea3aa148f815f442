"""What a control plane is told of a fleet whose instances may come and go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from scheduler.policies.scaling_view import ScalingPolicy

INTERVAL_NS: Final = 30_000_000_000
DRAIN_CHECK_NS: Final = 1_000_000_000

BY_OPERATOR: Final = "operator"
"""The reason of what a person has commanded."""

TTFT_LIMIT_S: Final = 2.0
TPOT_LIMIT_S: Final = 0.05
"""Limits where a run names none; assumed."""


class InstanceSlot(Struct, frozen=True):
    """An instance that may exist: its role, and the NPUs that it takes, by number, when it does."""

    address: str
    role: str
    first_npu: int
    num_npus: int

    @property
    def npus(self) -> range:
        """Numbers of its NPUs."""
        return range(self.first_npu, self.first_npu + self.num_npus)


class ScalingRules(Struct, frozen=True):
    """`slots`: all instances that may ever exist, of which `absent` do not at first; those that share NPUs never exist
    together. `num_npus`: of all supernodes. Every `interval_ns` the policy is asked; None for never. `least` and `most`
    by role bound what it may want. `usd_per_kwh`: pairs (second of the day from which it holds, price), the first from
    0. `drain_check_ns`: how often it is looked whether those that are drained are done.
    """

    slots: Sequence[InstanceSlot]
    absent: frozenset[str] = frozenset()
    num_npus: int = 0
    make_policy: Callable[[], ScalingPolicy] | None = None
    interval_ns: int = INTERVAL_NS
    least: Mapping[str, int] = field(default_factory=dict[str, int])
    most: Mapping[str, int] = field(default_factory=dict[str, int])
    ttft_limit_s: float = TTFT_LIMIT_S
    tpot_limit_s: float = TPOT_LIMIT_S
    usd_per_kwh: Sequence[tuple[float, float]] = ((0.0, 0.0),)
    drain_check_ns: int = DRAIN_CHECK_NS

    @property
    def roles(self) -> dict[str, int]:
        """NPUs of the largest instance of each role, in the order of slots."""
        sizes: dict[str, int] = {}
        for slot in self.slots:
            sizes[slot.role] = max(slot.num_npus, sizes.get(slot.role, 0))
        return sizes
