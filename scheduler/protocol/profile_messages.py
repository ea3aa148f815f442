"""What a run knows of its instances before the first request is served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class InstanceProfiled:
    """What made-up work took at an instance, measured by its own reports before the clock began.

    Entry i of each column is a pass of a prefill instance, or a step of a decode instance. Of a pass: `new_tokens`
    computed behind `context_tokens`, of which `cached_tokens` were read from a cache in it. Of a step: so many
    `sequences` with `context_tokens` of KV together. `num_steps` steps of a decode instance made
    `tokens_per_sequence` tokens for each sequence.
    """

    instance: Final[str]
    sequences: Final[list[int]]
    new_tokens: Final[list[int]]
    context_tokens: Final[list[int]]
    cached_tokens: Final[list[int]]
    taken_ns: Final[list[int]]
    num_steps: Final[int]
    tokens_per_sequence: Final[int]
