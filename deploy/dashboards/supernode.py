"""The dashboard "Supernode": latency, traffic, fleet, fabric, power and health of a live cluster."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.fabric_parts import fabric_parts_row
from deploy.dashboards.panels import Choice, Dashboard, Panel, Query, Row, heat_map, history, lines, stat, words
from deploy.dashboards.promql import (
    CHOSEN,
    aggregate,
    bucket_counts,
    by_node,
    quantile,
    rate,
    ratio,
    wall_rate,
)

TTFT: Final = "supernode_time_to_first_token_seconds"
TPOT: Final = "supernode_time_per_output_token_seconds"
ENERGY: Final = "supernode_instance_energy_joules_total"
GENERATED: Final = "supernode_generation_tokens_total"
ENDED: Final = "supernode_requests_ended_total"
UTILIZATION: Final = "supernode_npu_utilization_ratio"
WATTS: Final = "supernode_npu_power_watts"
CACHE_HIT: Final = "supernode_cache_hit_tokens_total"
CACHE_LOOKUP: Final = "supernode_cache_lookup_tokens_total"
MOVED: Final = "supernode_fabric_bytes_total"
TRANSFERS: Final = "supernode_fabric_transfers_total"
EMULATED: Final = "supernode_emulated_seconds_total"
UP: Final = "supernode_instance_up"

PERCENTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
TOKENS_PER_S: Final = "si:tok/s"
"""Grafana reads `si:` as "put k, M or G before it"."""

EXPLANATION: Final = """\
All times are **emulated**: what the emulated hardware would have taken. The axis below the plots is the clock on the
wall. A replay at `--speed N` runs N emulated seconds per second on the wall; rates are divided by that, so that they
are per **emulated second** and the same at any speed. Only the cost of a hop (row Health) is in wall time. While
nothing is served, rates are zero, and percentiles and ratios have gaps."""


def _latency(title: str, histogram: str, description: str) -> Panel:
    return lines(
        title,
        f"{description} The mean is exact; percentiles are known to the width of a bucket.",
        "s",
        *(Query(quantile(level, histogram), name) for name, level in PERCENTILES),
        Query(ratio(f"{histogram}_sum", f"{histogram}_count"), "mean"),
    )


OVERVIEW: Final = Row(
    "",
    (
        words("", EXPLANATION, 24, 3),
        stat(
            "Replay",
            "Whether a replay runs now.",
            "none",
            "max(supernode_run_active)",
            names={"0": "Idle", "1": "Running"},
        ),
        stat("Speed now", "Emulated seconds per wall second, now.", "suffix: x", "max(supernode_speed_ratio)"),
        stat(
            "Requests finished",
            "Requests that finished, per emulated second.",
            "reqps",
            rate(ENDED, where='{outcome="finished"}'),
        ),
        stat("Output tokens", "Output tokens per emulated second.", TOKENS_PER_S, rate(GENERATED)),
        stat(
            "TTFT p99",
            "Time to first token that 99 % of requests stay below; the newest there is.",
            "s",
            quantile(0.99, TTFT),
        ),
        stat(
            "TPOT p99",
            "Time per output token that 99 % of requests stay below; the newest there is.",
            "s",
            quantile(0.99, TPOT),
        ),
        stat("NPU power", "Power of all NPUs over the last stretch of a second.", "watt", f"sum({WATTS})"),
        stat("Instances up", "Serving instances that are up.", "none", f"sum({UP})"),
    ),
)

LATENCY: Final = Row(
    "Latency",
    (
        _latency("TTFT", TTFT, "From a request's arrival to its first output token."),
        _latency("TPOT", TPOT, "Mean time between output tokens after the first, one value per request."),
        _latency(
            "ITL", "supernode_inter_token_latency_seconds", "Each gap between two output tokens, over all requests."
        ),
        _latency("E2E", "supernode_e2e_request_latency_seconds", "From arrival to the last output token."),
        _latency(
            "Queue (percentiles tell from 300 ms up)",
            "supernode_request_queue_time_seconds",
            "From arrival to the start of prefill. The lowest bucket ends at 300 ms; below it only the mean tells.",
        ),
        heat_map(
            "TTFT, all requests",
            "How many requests had their first token within each bucket of time; brighter is more.",
            "s",
            bucket_counts(TTFT),
        ),
    ),
)

TRAFFIC: Final = Row(
    "Traffic",
    (
        lines(
            "Requests",
            "Requests that arrived and that ended, by outcome and reason (those that occur), per emulated second.",
            "reqps",
            Query(rate("supernode_requests_arrived_total"), "arrived"),
            Query(f"{rate(ENDED, 'outcome, reason')} > 0", "{{outcome}}: {{reason}}"),
        ),
        lines(
            "Tokens",
            "Per emulated second: prompt tokens of requests whose first token came out, tokens that prefill really "
            "computed (less for cached prefixes, more for recomputation), and output tokens.",
            TOKENS_PER_S,
            Query(rate("supernode_prompt_tokens_total"), "input"),
            Query(rate("supernode_computed_tokens_total"), "computed"),
            Query(rate(GENERATED), "output"),
        ),
        lines(
            "Cache hit rate",
            "Share of the looked-up prompt tokens that the prefix cache held, over all tokens of the window.",
            "percentunit",
            Query(ratio(CACHE_HIT, CACHE_LOOKUP), "hit by looked-up tokens"),
            highest=1,
        ),
        lines(
            "Requests running",
            "Requests being served, by stage: in prefill, having their KV cache handed over, or decoding.",
            "short",
            Query("sum by (stage) (supernode_requests_running)", "{{stage}}"),
        ),
        lines(
            "Requests waiting",
            "Requests waiting for a stage to take them.",
            "short",
            Query("sum by (stage) (supernode_requests_waiting)", "{{stage}}"),
        ),
        lines(
            "Preemptions",
            "Sequences that had to leave decode for want of KV room and are computed again, per emulated second.",
            "reqps",
            Query(rate("supernode_preemptions_total"), "preempted"),
        ),
    ),
)

FLEET: Final = Row(
    "Fleet",
    (
        lines(
            "Utilisation by role",
            "Busy share of time of the NPUs of each role, over the last stretch of a second.",
            "percentunit",
            Query(aggregate("avg", f"{UTILIZATION}{CHOSEN}", "role"), "{{role}}"),
            highest=1,
        ),
        lines(
            "Utilisation by instance",
            "Busy share of emulated time of each serving instance, over the whole window.",
            "percentunit",
            Query(rate("supernode_instance_busy_seconds_total", "instance", CHOSEN), "{{instance}}"),
            highest=1,
        ),
        lines(
            "KV usage",
            "Tokens in the KV cache of each decode instance, as a share of what it can hold.",
            "percentunit",
            Query(f"supernode_kv_usage_ratio{CHOSEN}", "{{instance}}"),
        ),
        history(
            "Utilisation of the nodes",
            "Mean busy share of the eight NPUs of each node: blue idles, red is always busy.",
            "percentunit",
            Query(by_node("avg", UTILIZATION), "node {{node}}"),
            width=12,
            height=20,
            highest=1,
        ),
        history(
            "Power of the nodes",
            "Power of the eight NPUs of each node together: blue draws least, red most.",
            "watt",
            Query(by_node("sum", WATTS), "node {{node}}"),
            width=12,
            height=20,
        ),
        history(
            "Instances up",
            "Whether the worker of each serving instance is there (green) or lost (red).",
            "none",
            Query(aggregate("max", f"{UP}{CHOSEN}", "instance"), "{{instance}}"),
            width=24,
            height=10,
            names={"0": "Down", "1": "Up"},
        ),
    ),
)

FABRIC: Final = Row(
    "Fabric",
    (
        lines(
            "Bytes moved",
            "Bytes per emulated second on each network plane, by what they are for.",
            "Bps",
            Query(f"{rate(MOVED, 'plane, kind')} > 0", "{{plane}} {{kind}}"),
        ),
        lines(
            "Transfers",
            "Transfers per emulated second on each network plane.",
            "si:/s",
            Query(f"{rate(TRANSFERS, 'plane, kind')} > 0", "{{plane}} {{kind}}"),
        ),
        lines(
            "Mean transfer",
            "Bytes over transfers of the window.",
            "decbytes",
            Query(f"{ratio(MOVED, TRANSFERS, 'plane, kind')} > 0", "{{plane}} {{kind}}"),
        ),
    ),
)

POWER: Final = Row(
    "Power",
    (
        lines(
            "Power by role",
            "Power of the NPUs, over the last stretch of a second; the top of the stack is the whole fleet.",
            "watt",
            Query(aggregate("sum", WATTS, "role"), "{{role}}"),
            stacked=True,
        ),
        lines(
            "Power per NPU",
            "Mean power of one NPU of each role over the window: joules by emulated seconds.",
            "watt",
            Query(f"{rate(ENERGY, 'role')} / on (role) {aggregate('count', WATTS, 'role')}", "{{role}}"),
        ),
        lines(
            "Energy per output token",
            "Joules of all NPUs over output tokens of the window.",
            "si:J/tok",
            Query(ratio(ENERGY, GENERATED), "J per output token"),
        ),
    ),
)

HEALTH: Final = Row(
    "Health",
    (
        lines(
            "Cost of a hop",
            "How late messages between the control plane and the workers come, in wall time; at speed N it counts N "
            "times as much in emulated time.",
            "s",
            *(
                Query(quantile(level, "supernode_hop_wall_seconds"), name)
                for name, level in PERCENTILES
                if name != "p95"
            ),
        ),
        lines(
            "Speed",
            "Emulated seconds per wall second.",
            "suffix: x",
            Query("max(supernode_speed_ratio)", "as it says now"),
            Query(f"{wall_rate(EMULATED)} > 0", "over the window"),
        ),
        lines(
            "Requests begun again",
            "Requests that were begun again because a worker was lost, since the cluster came up.",
            "short",
            Query("sum(supernode_request_retries_total)", "begun again"),
        ),
        lines(
            "Worker restarts",
            "Workers that came back after they were lost, by host, since the cluster came up.",
            "short",
            Query("sum by (host) (supernode_worker_restarts_total)", "{{host}}"),
        ),
        lines(
            "Runs",
            "Replays that ended, by outcome, since the cluster came up.",
            "short",
            Query("sum by (outcome) (supernode_runs_total)", "{{outcome}}"),
        ),
        lines(
            "Version and scrapes",
            "One while Prometheus reaches the metrics, by the version that answers.",
            "short",
            Query("max by (version) (supernode_build_info)", "version {{version}}"),
            Query('max(up{job="supernode"})', "scraped"),
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    uid="supernode",
    title="Supernode",
    description="A live emulated supernode: latency, traffic, fleet, fabric, power and health.",
    choices=(
        Choice("role", "Role", "role", UP),
        Choice("instance", "Instance", "instance", f'{UP}{{role=~"$role"}}'),
    ),
    rows=(OVERVIEW, LATENCY, TRAFFIC, FLEET, FABRIC, fabric_parts_row(), POWER, HEALTH),
)
