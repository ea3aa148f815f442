"""Each instance as an engine of a vLLM server: names, types, labels and buckets of its metrics.

Source: vllm-project/vllm, `vllm/v1/metrics/loggers.py` and `docs/design/metrics.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from scheduler.metrics.bucket_bounds import (
    VLLM_REQUEST_BOUNDS_S,
    VLLM_STEP_TOKEN_BOUNDS,
    VLLM_TOKEN_BOUNDS_S,
    VLLM_TOKEN_COUNT_BOUNDS,
    VLLM_TTFT_BOUNDS_S,
)
from scheduler.metrics.buckets import HistogramTotals, reads
from scheduler.metrics.family import AnyFamily, Family, HistogramFamily, Labels
from scheduler.metrics.layout import Layout
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subjects.engines import ITL_GRID_S, EngineTotals
from scheduler.metrics.subjects.requests import END_REASONS
from scheduler.protocol.finish import FinishReason

ABOUT: Final = (
    "Each serving instance is an engine; its number, the label `engine`, is its place in `instances` of `supernode "
    "status --json`, from 0. Prefill and decode are apart here: a request counts at its prefill engine up to the "
    "first token, and as a whole at the decode engine where it ended. Sums over engines are those of the system. "
    "Times are emulated seconds."
)

PARAMS_N_BOUNDS: Final = (1, 2, 5, 10, 20)

_LABELS: Final = ("model_name", "engine")

_FINISHED_REASON: Final = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.RETRIES_EXHAUSTED: "error",
}
_OTHER_REASON: Final = "abort"
_REASONS: Final[tuple[str, ...]] = ("stop", "length", "abort", "error")


def _by_engine(layout: Layout) -> list[Labels]:
    return [(layout.model, str(engine)) for engine in range(len(layout.instances))]


def _by_reason(layout: Layout) -> list[Labels]:
    return [(*labels, reason) for labels in _by_engine(layout) for reason in _REASONS]


def _ended(snapshot: Snapshot) -> list[int]:
    values: list[int] = []
    for counts in snapshot[EngineTotals].ended:
        by_reason: dict[str, int] = dict.fromkeys(_REASONS, 0)
        for reason, count in zip(END_REASONS, counts, strict=True):
            by_reason[_FINISHED_REASON.get(reason, _OTHER_REASON)] += count
        values += by_reason.values()
    return values


def _one_answer_each(snapshot: Snapshot) -> list[HistogramTotals]:
    finished = [one.counts[-1] for one in snapshot[EngineTotals].request_output_tokens]
    return [HistogramTotals((count,) * (len(PARAMS_N_BOUNDS) + 1), float(count)) for count in finished]


def _cache_config(layout: Layout) -> list[Labels]:
    block_tokens = layout.kv_block_tokens
    return [
        (str(block_tokens), str(one.kv_capacity_tokens // block_tokens), str(engine))
        for engine, one in enumerate(layout.instances)
    ]


_itl: Final = reads(ITL_GRID_S, VLLM_TOKEN_BOUNDS_S)


def _itl_s(engines: EngineTotals) -> list[HistogramTotals]:
    return [_itl(one) for one in engines.itl_s]


def _gauge(name: str, text: str, read: Callable[[EngineTotals], Sequence[float]], meaning: str, unit: str) -> Family:
    return Family(f"vllm:{name}", "gauge", text, lambda s: read(s[EngineTotals]), _LABELS, _by_engine, meaning, unit)


def _counter(name: str, text: str, read: Callable[[EngineTotals], Sequence[float]], meaning: str, unit: str) -> Family:
    return Family(f"vllm:{name}", "counter", text, lambda s: read(s[EngineTotals]), _LABELS, _by_engine, meaning, unit)


def _histogram(
    name: str,
    text: str,
    bounds: tuple[float, ...],
    read: Callable[[EngineTotals], Sequence[HistogramTotals]],
    meaning: str,
    unit: str = "",
) -> HistogramFamily:
    return HistogramFamily(
        f"vllm:{name}", text, bounds, lambda s: read(s[EngineTotals]), _LABELS, _by_engine, meaning, unit
    )


_KV_USAGE: Final = (
    "Share of the KV room that is taken, 0 to 1 in spite of the name. At prefill: the prompts of requests in a pass or "
    "waiting for their KV transfer."
)
_GAPS: Final = (
    "As `supernode_inter_token_latency_seconds`; at a prefill engine only where a request was computed again."
)
_OUTPUT: Final = "Of finished requests, at the engine where they ended."

FAMILIES: Final[tuple[AnyFamily, ...]] = (
    _gauge(
        "num_requests_running", "Requests in model execution batches.", lambda e: e.running,
        "Requests in a prefill pass, or in the decode batch.", "requests",
    ),
    _gauge(
        "num_requests_waiting", "Requests waiting to be processed.", lambda e: e.waiting,
        "At prefill: queued, or fetching cached KV. At decode: waiting for room, for their KV or for a step boundary.",
        "requests",
    ),
    _gauge("kv_cache_usage_perc", "KV-cache usage; 1 means 100 percent.", lambda e: e.kv_usage, _KV_USAGE, "ratio"),
    _gauge(
        "gpu_cache_usage_perc", "KV-cache usage, under its older name.", lambda e: e.kv_usage, _KV_USAGE, "ratio",
    ),
    Family(
        "vllm:cache_config_info", "gauge", "Settings of the KV cache, as labels.",
        lambda s: [1] * len(s.layout.instances), ("block_size", "num_gpu_blocks", "engine"), _cache_config,
        "Of the settings only these two; the blocks of all dies of a decode engine.", "1",
    ),
    _counter(
        "prompt_tokens_total", "Prefill tokens processed.", lambda e: e.prompt_tokens,
        "Prompt tokens of requests whose first token came out, cached ones included.", "tokens",
    ),
    _counter(
        "generation_tokens_total", "Generation tokens processed.", lambda e: e.generation_tokens,
        "Output tokens: the first of each request at prefill, the others at decode.", "tokens",
    ),
    _counter(
        "prefix_cache_queries_total", "Tokens looked up in the prefix cache.", lambda e: e.lookup_tokens,
        "Prompt tokens of prefills that began, not requests.", "tokens",
    ),
    _counter(
        "prefix_cache_hits_total", "Tokens found in the prefix cache.", lambda e: e.hit_tokens,
        "Those of them that were not computed.", "tokens",
    ),
    _counter(
        "num_preemptions_total", "Cumulative number of preemptions.", lambda e: e.preemptions,
        "Sequences that left decode because no KV block was free.", "requests",
    ),
    Family(
        "vllm:request_success_total", "counter", "Requests that ended, by why.",
        _ended, (*_LABELS, "finished_reason"), _by_reason,
        "`error`: retries exhausted; `abort`: every other end. Rejected requests had no engine and are not here.",
        "requests",
    ),
    _histogram(
        "time_to_first_token_seconds", "Time to first token.", VLLM_TTFT_BOUNDS_S, lambda e: e.ttft_s,
        "Arrival at the gateway to first token, at the prefill engine.",
    ),
    _histogram(
        "inter_token_latency_seconds", "Gaps between tokens of one request.", VLLM_TOKEN_BOUNDS_S, _itl_s, _GAPS,
    ),
    _histogram(
        "time_per_output_token_seconds", "Gaps between tokens of one request, under the older name.",
        VLLM_TOKEN_BOUNDS_S, _itl_s, _GAPS,
    ),
    _histogram(
        "request_time_per_output_token_seconds", "Time per output token, one value per request.",
        VLLM_TOKEN_BOUNDS_S, lambda e: e.tpot_s, "First to last token over the tokens after the first. " + _OUTPUT,
    ),
    _histogram(
        "e2e_request_latency_seconds", "End-to-end request latency.", VLLM_REQUEST_BOUNDS_S, lambda e: e.e2e_s, _OUTPUT,
    ),
    _histogram(
        "request_queue_time_seconds", "Time in the waiting phase.", VLLM_REQUEST_BOUNDS_S, lambda e: e.queue_s,
        "Arrival to the start of the first pass, at the prefill engine; fetching cached KV included.",
    ),
    _histogram(
        "request_prefill_time_seconds", "Time in the prefill phase.", VLLM_REQUEST_BOUNDS_S, lambda e: e.prefill_s,
        "Start of the first pass to first token, at the prefill engine.",
    ),
    _histogram(
        "request_decode_time_seconds", "Time in the decode phase.", VLLM_REQUEST_BOUNDS_S, lambda e: e.decode_s,
        "First to last token, the KV transfer included. " + _OUTPUT,
    ),
    _histogram(
        "request_inference_time_seconds", "Time in the running phase.", VLLM_REQUEST_BOUNDS_S, lambda e: e.inference_s,
        "Start of the first pass to last token. " + _OUTPUT,
    ),
    _histogram(
        "request_prompt_tokens", "Prefill tokens of a request.", VLLM_TOKEN_COUNT_BOUNDS,
        lambda e: e.request_prompt_tokens, _OUTPUT, "tokens",
    ),
    _histogram(
        "request_generation_tokens", "Generation tokens of a request.", VLLM_TOKEN_COUNT_BOUNDS,
        lambda e: e.request_output_tokens, _OUTPUT, "tokens",
    ),
    _histogram(
        "request_max_num_generation_tokens", "Most generation tokens of the answers of a request.",
        VLLM_TOKEN_COUNT_BOUNDS, lambda e: e.request_output_tokens, "A request has one answer. " + _OUTPUT, "tokens",
    ),
    HistogramFamily(
        "vllm:request_params_n", "The parameter n of a request.", PARAMS_N_BOUNDS, _one_answer_each,
        _LABELS, _by_engine, "Always 1. " + _OUTPUT, "1",
    ),
    _histogram(
        "iteration_tokens_total", "Tokens of an engine step.", VLLM_STEP_TOKEN_BOUNDS, lambda e: e.step_tokens,
        "Tokens computed and produced in a prefill pass; tokens produced in a decode step, on average over a run of "
        "steps in which nobody joined or left.", "tokens",
    ),
)  # fmt: skip
"""Left out, because nothing stands behind it: LoRA, sampled KV block lifetimes, and `request_params_max_tokens`."""
