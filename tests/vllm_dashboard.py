"""The expressions of vLLM's published Grafana dashboard, so that tests can ask for them."""

from __future__ import annotations

import re

_LATENCIES = ("e2e_request_latency", "inter_token_latency", "time_to_first_token")

PUBLISHED_QUERIES = (
    *(
        f'histogram_quantile({level}, sum by(le) (rate(vllm:{name}_seconds_bucket{{model_name="$model_name"}}'
        "[$__rate_interval])))"
        for name in _LATENCIES
        for level in (0.99, 0.95, 0.9, 0.5)
    ),
    *(
        f'rate(vllm:{name}_seconds_sum{{model_name="$model_name"}}[$__rate_interval]) / '
        f'rate(vllm:{name}_seconds_count{{model_name="$model_name"}}[$__rate_interval])'
        for name in _LATENCIES
    ),
    'rate(vllm:prompt_tokens_total{model_name="$model_name"}[$__rate_interval])',
    'rate(vllm:generation_tokens_total{model_name="$model_name"}[$__rate_interval])',
    'rate(vllm:time_per_output_token_seconds_sum{model_name="$model_name"}[$__rate_interval])',
    'vllm:num_requests_running{model_name="$model_name"}',
    'vllm:num_requests_waiting{model_name="$model_name"}',
    'vllm:kv_cache_usage_perc{model_name="$model_name"}',
    'vllm:gpu_cache_usage_perc{model_name="$model_name"}',
    'sum by(le) (increase(vllm:request_prompt_tokens_bucket{model_name="$model_name"}[$__rate_interval]))',
    'sum by(le) (increase(vllm:request_generation_tokens_bucket{model_name="$model_name"}[$__rate_interval]))',
    'sum by(finished_reason) (increase(vllm:request_success_total{model_name="$model_name"}[$__rate_interval]))',
    'rate(vllm:request_queue_time_seconds_sum{model_name="$model_name"}[$__rate_interval])',
    'rate(vllm:request_prefill_time_seconds_sum{model_name="$model_name"}[$__rate_interval])',
    'rate(vllm:request_decode_time_seconds_sum{model_name="$model_name"}[$__rate_interval])',
    'rate(vllm:request_max_num_generation_tokens_sum{model_name="$model_name"}[$__rate_interval])',
)
"""Of vLLM's `examples/online_serving/prometheus_grafana/grafana.json`, under the present and the older names of gaps
and of KV usage. Swapped requests, which vLLM's present engine does not have, are left out."""


def published_names() -> set[str]:
    """The series that the expressions name."""
    return {name for query in PUBLISHED_QUERIES for name in re.findall(r"vllm:\w+", query)}
