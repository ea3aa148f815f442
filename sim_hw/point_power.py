"""Watts of an NPU at an operating point, from the work of a step or pass and how long it lasts. NPUs only.

Each die reads the weights that it holds once a step, whatever the number of micro-batches; HBM traffic of activations
is left out. So the watts are a lower estimate, as those of `power` are.
"""

from __future__ import annotations

from collections.abc import Mapping

from sim_hw.chip import Precision
from sim_hw.chip_power import chip_watts
from sim_hw.operating_point import DecodePoint, Instance, PrefillPoint


def decode_watts(point: DecodePoint, iteration_s: float, memory_bytes_per_die: Mapping[str, float]) -> float:
    """Watts of one NPU while steps of `iteration_s` follow each other."""
    shape, rows = point.model, point.batch_per_npu * point.rows_per_request
    kv_tokens = rows * point.context_tokens
    attention_flops = kv_tokens * shape.layers * shape.decode_attention_flops_per_kv_token
    kv_bytes = point.batch_per_npu * point.context_tokens * shape.kv_bytes_per_token(point.mtp_k > 0)
    return _watts(
        point, iteration_s, rows * shape.linear_flops_per_token, attention_flops, kv_bytes, memory_bytes_per_die
    )


def prefill_watts(point: PrefillPoint, pass_s: float, memory_bytes_per_die: Mapping[str, float]) -> float:
    """Watts of one NPU while passes of `pass_s` follow each other."""
    shape, cached = point.model, point.cached_per_prompt
    prompts = point.batch_tokens_per_npu / point.prompt_tokens
    computed = point.prompt_tokens - cached
    pairs = prompts * (cached * computed + computed * (computed + 1) / 2)
    attention_flops = pairs * shape.layers * shape.prefill_attention_flops_per_pair
    linear_flops = prompts * computed * shape.linear_flops_per_token
    kv_bytes = point.batch_tokens_per_npu * shape.kv_bytes_per_token(mtp=False)
    return _watts(point, pass_s, linear_flops, attention_flops, kv_bytes, memory_bytes_per_die)


def _watts(
    instance: Instance,
    seconds: float,
    linear_flops: float,
    attention_flops: float,
    kv_bytes: float,
    memory_bytes_per_die: Mapping[str, float],
) -> float:
    chip = instance.chip
    weights_bytes = sum(size for part, size in memory_bytes_per_die.items() if part.startswith("weights"))
    at_peak_s = linear_flops / chip.flops(instance.precision) + attention_flops / chip.flops(Precision.BF16)
    read_s = (chip.num_dies.value * weights_bytes + kv_bytes) / chip.hbm_bytes_per_s
    # Where a fitted step is faster than its traffic allows, HBM cannot be more than full.
    return chip_watts(chip, min(1.0, at_peak_s / seconds), min(1.0, read_s / seconds))
