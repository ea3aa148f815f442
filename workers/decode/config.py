"""The configuration of a decode instance: its size, and how often it reports."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from scheduler.protocol.component import NEVER_NS

ANY_NUMBER: Final = 2**62 - 1


class Sampling(Struct, frozen=True):
    """Of so many drafts a step, each is right with the probability `acceptance`, as a hash under `key` has it."""

    drafts: int
    acceptance: float
    key: int


class DecodeConfig(Struct, frozen=True):
    """KV memory in blocks of 128 tokens and sequence slots, of each die; expected tokens a step as a fraction.

    `report_interval_ns` bounds how long a run of steps may go unreported (virtual runtime: never).
    """

    num_dies: int
    blocks_per_die: int
    slots_per_die: int
    extent_blocks: int
    tokens_per_step_num: int
    tokens_per_step_den: int
    report_interval_ns: int = NEVER_NS
    max_run_steps: int = ANY_NUMBER
    """How many steps at most are planned at once; planning them one by one takes longer, and changes nothing else."""
    budget_w: int = 0
    """The power budget that it begins with, if it keeps one."""
    sampling: Sampling | None = None
    """How it is sampled what each sequence accepts; None where all advance by the expectation."""
