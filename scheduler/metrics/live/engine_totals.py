"""What each engine has come to: the part of a snapshot that is told apart by instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.metrics.buckets import HistogramTotals


@dataclass(frozen=True, slots=True)
class EngineTotals:
    """Each field has an entry per instance, in the order of `Layout.instances`.

    A request counts at the prefill instance that made its first token, by `ttft_s`, `queue_s`, `prefill_s` and
    `prompt_tokens`; as it ends at its decode instance, or at its prefill instance if it came no further, by all else.
    Of those that never had an instance nothing counts. `running` and `waiting` stand at the instance or are on their
    way to it; `kv_usage` is the share of its KV room that is taken. `ended` is in the order of `END_REASONS`.
    Intervals are those of a vLLM server: decode from first to last token, inference from the start of prefill to the
    last token. `step_tokens` are the tokens of each pass or step.
    """

    running: tuple[int, ...]
    waiting: tuple[int, ...]
    kv_usage: tuple[float, ...]
    prompt_tokens: tuple[int, ...]
    generation_tokens: tuple[int, ...]
    lookup_tokens: tuple[int, ...]
    hit_tokens: tuple[int, ...]
    preemptions: tuple[int, ...]
    ended: tuple[tuple[int, ...], ...]
    ttft_s: Sequence[HistogramTotals]
    itl_s: Sequence[HistogramTotals]
    tpot_s: Sequence[HistogramTotals]
    e2e_s: Sequence[HistogramTotals]
    queue_s: Sequence[HistogramTotals]
    prefill_s: Sequence[HistogramTotals]
    decode_s: Sequence[HistogramTotals]
    inference_s: Sequence[HistogramTotals]
    request_prompt_tokens: Sequence[HistogramTotals]
    request_output_tokens: Sequence[HistogramTotals]
    step_tokens: Sequence[HistogramTotals]
