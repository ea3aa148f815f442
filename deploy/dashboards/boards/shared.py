"""What several dashboards have in common: names of families, the explanation at the head, panels they all show."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.panels import Choice, Panel, Query, lines, stat, words
from deploy.dashboards.promql import quantile, rate, ratio

TTFT: Final = "supernode_time_to_first_token_seconds"
TPOT: Final = "supernode_time_per_output_token_seconds"
ITL: Final = "supernode_inter_token_latency_seconds"
E2E: Final = "supernode_e2e_request_latency_seconds"
QUEUE: Final = "supernode_request_queue_time_seconds"
HOP: Final = "supernode_hop_wall_seconds"
SLO: Final = "supernode_slo_requests_total"
CLASS_SLO: Final = "supernode_class_slo_requests_total"
SLO_LIMIT: Final = "supernode_slo_limit_seconds"
ARRIVED: Final = "supernode_requests_arrived_total"
PREDICTIONS: Final = "supernode_prediction_error_ratio"
DECISIONS: Final = "supernode_decisions_total"
CACHE_SERVERS: Final = "supernode_cache_servers"
ENDED: Final = "supernode_requests_ended_total"
RUNNING: Final = "supernode_requests_running"
WAITING: Final = "supernode_requests_waiting"
CLIENTS: Final = "supernode_clients_concurrency"
SESSIONS_OPEN: Final = "supernode_sessions_open"
SESSIONS_CLOSED: Final = "supernode_sessions_closed_total"
AT_INSTANCE: Final = "supernode_instance_requests"
PREEMPTIONS: Final = "supernode_preemptions_total"
RETRIES: Final = "supernode_request_retries_total"
PROMPTS: Final = "supernode_prompt_tokens_total"
COMPUTED: Final = "supernode_computed_tokens_total"
GENERATED: Final = "supernode_generation_tokens_total"
CACHE_HIT: Final = "supernode_cache_hit_tokens_total"
CACHE_LOOKUP: Final = "supernode_cache_lookup_tokens_total"
ENERGY: Final = "supernode_instance_energy_joules_total"
ACCOUNTED: Final = "supernode_instance_accounted_seconds_total"
COST_TIME: Final = "supernode_cost_seconds_total"
ALL_ENERGY: Final = "supernode_energy_joules_total"
POWER: Final = "supernode_power_watts"
POWER_CAP: Final = "supernode_power_cap_watts"
DOLLARS: Final = "supernode_cost_dollars_total"
BUSY: Final = "supernode_instance_busy_seconds_total"
UTILIZATION: Final = "supernode_npu_utilization_ratio"
WATTS: Final = "supernode_npu_power_watts"
KV_USAGE: Final = "supernode_kv_usage_ratio"
UP: Final = "supernode_instance_up"
INSTANCE_INFO: Final = "supernode_instance_info"
LOST: Final = "supernode_instance_lost"
INSTANCES: Final = "supernode_scaling_instances"
MOVED: Final = "supernode_fabric_bytes_total"
TRANSFERS: Final = "supernode_fabric_transfers_total"
EMULATED: Final = "supernode_emulated_seconds_total"

THERE: Final = f"({UP} == 1 or {LOST} == 1)"
"""Instances that have NPUs, or had them when they were lost: those that nobody has started have none."""

PERCENTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
TOKENS_PER_S: Final = "si:tok/s"
"""Grafana reads `si:` as "put k, M or G before it"."""

FINISHED: Final = '{outcome="finished"}'

CHOICES: Final = (
    Choice("role", "Role", "role", UP),
    Choice("instance", "Instance", "instance", f'{UP}{{role=~"$role"}}'),
)
"""Role and instance, at the head of a dashboard whose panels tell instances apart."""

_EXPLANATION: Final = """\
All times are **emulated**: what the emulated hardware would have taken. The axis below the plots is the clock on the
wall. A replay at `--speed N` runs N emulated seconds per second on the wall; rates are divided by that, so that they
are per **emulated second** and the same at any speed. While nothing is served, rates are zero, and percentiles and
ratios have gaps."""


def explanation(more: str = "") -> Panel:
    """How to read a dashboard; `more` is what only this one needs said."""
    return words("", f"{_EXPLANATION} {more}".rstrip(), 24, 3)


def replay_now() -> Panel:
    """Is anything going on?"""
    names = {"0": "Idle", "1": "Running"}
    return stat("Replay", "Whether a replay runs now.", "none", "max(supernode_run_active)", names=names)


def speed_now() -> Panel:
    """How fast emulated time passes."""
    return stat("Speed now", "Emulated seconds per wall second, now.", "suffix: x", "max(supernode_speed_ratio)")


def of_those_there(gauge: str) -> str:
    """A gauge of NPUs, of those that an instance has."""
    return f"({gauge} and on (instance) {THERE})"


def npu_power() -> Panel:
    """The whole fleet's power as one number."""
    return stat("NPU power", "Power of all NPUs over the last stretch of a second.", "watt", f"sum({WATTS})")


def output_tokens() -> Panel:
    """Throughput as one number."""
    return stat("Output tokens", "Output tokens per emulated second.", TOKENS_PER_S, rate(GENERATED))


def latency(title: str, histogram: str, description: str, width: int = 8) -> Panel:
    """Percentiles and mean of a histogram."""
    return lines(
        title,
        f"{description} The mean is exact; percentiles are known to the width of a bucket, less than 10 %.",
        "s",
        *(Query(quantile(level, histogram), name) for name, level in PERCENTILES),
        Query(ratio(f"{histogram}_sum", f"{histogram}_count"), "mean"),
        width=width,
    )
