"""What a scaling policy is shown of a fleet, and what it answers: how many instances of each role there shall be.

A policy is a pure function of its view. What it must remember, such as the load of the last minutes, are the samples of
the view: one for each interval, the latest last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

PREFILL: Final = "prefill"
DECODE: Final = "decode"
AGGREGATED: Final = "aggregated"

COMPUTING: Final = (PREFILL, AGGREGATED)
"""Roles whose instances compute prompts."""


class PromptWork(Struct, frozen=True):
    """What instances of a role did for prompts in an interval; nothing at a role that computes none.

    `backlog_tokens`: uncached tokens of prompts that were sent there and are not computed. `num_tokens`: computed.
    `busy_share`: of the time of those that serve, the part in passes, or in steps that computed any; `budget_share`:
    the same, where each counts by the share of its token budget that was taken. `pass_s`: mean length of one of these;
    0 where none ended.
    """

    backlog_tokens: int = 0
    num_tokens: int = 0
    busy_share: float = 0.0
    budget_share: float = 0.0
    pass_s: float = 0.0


class OutputWork(Struct, frozen=True):
    """What instances of a role did for outputs in an interval; nothing at a role that does not decode.

    `num_sequences`: requests that were sent there to decode, or whose prompt has been computed there. `num_tokens`:
    made after the first. `step_s`: mean seconds between two tokens of a sequence, `alone_s` the same of steps that
    computed no prompts; 0 where none ended. `mixed_steps`: steps that did both, counted in tokens of one sequence.
    """

    num_sequences: int = 0
    num_tokens: int = 0
    step_s: float = 0.0
    alone_s: float = 0.0
    mixed_steps: float = 0.0


class RoleSample(Struct, frozen=True):
    """The instances of one role at the end of an interval, and what they did in it.

    `serving`: those that take work; `starting`: those that will, and those that were lost and come back; `draining`:
    those that take nothing new. `wanted`: what was decided last. `waiting_requests`: of prefill and aggregated those
    that no pass or step has begun with, of decode those whose KV finds no room. `outstanding_requests` and
    `outstanding_tokens` are as the core counts them: uncached prompt tokens for prefill, tokens of KV for decode, both
    for aggregated. `kv_tokens` as last reported, of `kv_capacity_tokens` of those that serve. `busy_share`: of the time
    of those that serve, the part in which a pass or step ran. `num_tokens` and `step_s` are those of `outputs`, of
    prefill those of `prompts`. `num_reports`: how often an instance was heard.
    """

    serving: int
    starting: int
    draining: int
    wanted: int
    waiting_requests: int
    outstanding_requests: int
    outstanding_tokens: int
    kv_tokens: int
    kv_capacity_tokens: int
    busy_share: float
    num_tokens: int
    step_s: float
    num_reports: int
    prompts: PromptWork = PromptWork()
    outputs: OutputWork = OutputWork()


class ScalingSample(Struct, frozen=True):
    """One interval of `length_s` that ended at `at_s`.

    `arrived_requests` were accepted in it, with `arrived_tokens` of prompts: demand is what comes, not what is served.
    Of the `first_tokens` that came out in it: their prompts, what of these was cached, their mean TTFT, and how many
    were within the limit. `late_requests` wait for their first token longer than the limit already. Of the
    `finished_requests`: their output tokens, their mean TPOT, and how many of those with at least two tokens
    (`paced_requests`) were within the limit.
    """

    at_s: float
    length_s: float
    arrived_requests: int
    arrived_tokens: int
    first_tokens: int
    prompt_tokens: int
    cached_tokens: int
    ttft_s: float
    ttft_met: int
    late_requests: int
    oldest_wait_s: float
    finished_requests: int
    output_tokens: int
    paced_requests: int
    tpot_s: float
    tpot_met: int
    usd_per_kwh: float
    roles: Mapping[str, RoleSample]


class RoleFacts(Struct, frozen=True):
    """What stays of a role: NPUs of an instance, and bounds on how many there are. `startable`: how many more there is
    room for now on NPUs that are spare and not cut off."""

    num_npus: int
    least: int
    most: int
    startable: int


class ScalingView(Struct, frozen=True):
    """What the control plane knows. `samples` are those of the last ten minutes and at least one, the latest last;
    `usd_per_kwh` (least, most) over a day. Limits are those of the run, assumed where it has none."""

    interval_s: float
    ttft_limit_s: float
    tpot_limit_s: float
    samples: Sequence[ScalingSample]
    roles: Mapping[str, RoleFacts]
    usd_per_kwh: tuple[float, float]
    spare_npus: int
    broken_npus: int

    @property
    def now(self) -> ScalingSample:
        """The interval that has just ended."""
        return self.samples[-1]

    def last(self, window_s: float) -> Sequence[ScalingSample]:
        """Samples that ended within the last `window_s`, at least one."""
        begin_s = self.now.at_s - window_s
        return [sample for sample in self.samples if sample.at_s > begin_s] or self.samples[-1:]


class Wanted(Struct, frozen=True):
    """How many instances of each role there shall be; roles that are left out stay as they are. `reason`: a few
    words."""

    instances: Mapping[str, int]
    reason: str


class ScalingPolicy(Protocol):
    """Who says how many instances there shall be."""

    def wanted(self, view: ScalingView) -> Wanted:
        """A function of the view alone."""
        ...
