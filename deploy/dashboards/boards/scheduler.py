"""The dashboard "Scheduler": what it decides, how it spreads work, what is requeued, what its own processes cost."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.boards.shared import (
    AT_INSTANCE,
    BUSY,
    CACHE_SERVERS,
    CHOICES,
    DECISIONS,
    EMULATED,
    HOP,
    PERCENTILES,
    PREDICTIONS,
    PREEMPTIONS,
    RETRIES,
    RUNNING,
    UP,
    WAITING,
    WATTS,
    explanation,
    of_those_there,
    replay_now,
    speed_now,
)
from deploy.dashboards.panels import Dashboard, Query, Row, history, lines, stat
from deploy.dashboards.promql import CHOSEN, OF_DECODE, OF_PREFILL, aggregate, quantile, rate, ratio, wall_rate

PREFILL_STAGE: Final = '{stage="prefill"}'
TTFT_KIND: Final = '{kind="ttft"}'
DECODE_STAGE: Final = '{stage="decode"}'
OFF_BY: Final = ratio(f"{PREDICTIONS}_sum", f"{PREDICTIONS}_count", "kind")


def _share(operator: str, role: str) -> str:
    """The busiest, mean or idlest instance of a role: rate of busy time of each, then the operator."""
    busy = rate(BUSY, "instance", f'{{role=~"{role}|aggregated"}}')
    return f"{operator}({busy})"


OVERVIEW: Final = Row(
    "",
    (
        explanation("Only the cost of a hop and the CPU of the control plane are in **wall** time."),
        replay_now(),
        speed_now(),
        stat("Requests open", "Requests that run or wait, in all stages.", "short", f"sum({RUNNING}) + sum({WAITING})"),
        stat("Requests waiting", "Requests that wait for a stage to take them.", "short", f"sum({WAITING})"),
        stat("Preempted", "Sequences preempted since the cluster came up.", "short", f"sum({PREEMPTIONS})"),
        stat("Requeued", "Requests requeued since the cluster came up.", "short", f"sum({RETRIES})"),
        stat(
            "Restarts",
            "Workers that came back after they were lost, since the cluster came up.",
            "short",
            "sum(supernode_worker_restarts_total)",
        ),
        stat(
            "Hop p50",
            "Half of all messages between control plane and workers come later than this, in wall time.",
            "s",
            quantile(0.5, HOP),
        ),
    ),
)

SPREAD: Final = Row(
    "How work is spread",
    (
        lines(
            "Busy share of prefill instances",
            "Busy share of emulated time of the busiest and the idlest prefill instance, and their mean: the closer "
            "together, the better the routing policy spreads.",
            "percentunit",
            *(
                Query(_share(operator, "prefill"), name)
                for operator, name in (("max", "busiest"), ("avg", "mean"), ("min", "idlest"))
            ),
            highest=1,
        ),
        lines(
            "Requests at prefill",
            "Requests that work or wait at each prefill instance; one that gets ever more is routed to wrongly.",
            "short",
            Query(aggregate("sum", f"{AT_INSTANCE}{OF_PREFILL}", "instance"), "{{instance}}"),
        ),
        lines(
            "Requests at decode",
            "Requests in the batch of each decode instance, and those that wait for room in it or for their KV.",
            "short",
            Query(aggregate("sum", f"{AT_INSTANCE}{OF_DECODE}", "instance, state"), "{{instance}} {{state}}"),
        ),
        history(
            "Requests at each instance",
            "Requests that work or wait at each instance: blue few, red most.",
            "short",
            Query(aggregate("sum", f"{AT_INSTANCE}{CHOSEN}", "instance"), "{{instance}}"),
            width=24,
            height=10,
        ),
    ),
)

DECIDED: Final = Row(
    "What it decides",
    (
        lines(
            "Decisions for prefill",
            "Requests sent to a prefill instance per emulated second, by the policy that chose and why; a fallback "
            "means that the policy failed.",
            "reqps",
            Query(f"{rate(DECISIONS, 'policy, reason', PREFILL_STAGE)} > 0", "{{policy}}: {{reason}}"),
            width=12,
        ),
        lines(
            "Decisions for decode",
            "Requests for which a decode instance was chosen per emulated second, by the policy that chose and why.",
            "reqps",
            Query(f"{rate(DECISIONS, 'policy, reason', DECODE_STAGE)} > 0", "{{policy}}: {{reason}}"),
            width=12,
        ),
    ),
)

PREDICTED: Final = Row(
    "What it predicts",
    (
        lines(
            "Predicted over actual",
            "Predicted over actual times of the window, mean: of the time to the first token and of a decode step. "
            "1 is right, below it is optimistic; only where a policy, an order or admission reads predictions.",
            "none",
            Query(OFF_BY, "{{kind}}"),
        ),
        lines(
            "Spread of predictions",
            "Predicted over actual, the time to the first token: a tenth of predictions are below the lowest line, a "
            "tenth above the highest.",
            "none",
            *(
                Query(f"histogram_quantile({level}, {wall_rate(f'{PREDICTIONS}_bucket', 'le', TTFT_KIND)})", name)
                for name, level in (("p10", 0.1), ("p50", 0.5), ("p90", 0.9))
            ),
        ),
        lines(
            "Drift of predictions",
            "How far the mean of the window is from right, by what is predicted; 25 % over ten minutes is an alert.",
            "percentunit",
            Query(f"abs({OFF_BY} - 1)", "{{kind}}"),
        ),
    ),
)

PLAN: Final = Row(
    "The plan",
    (
        lines(
            "Prefill, decode and cache",
            "The plan as P:D:C: NPUs that serve each stage, lost ones included, and nodes that hold the cache.",
            "short",
            Query(aggregate("count", of_those_there(WATTS), "role"), "{{role}} NPUs"),
            Query(f"max({CACHE_SERVERS})", "cache servers"),
        ),
        lines(
            "Instances up by role",
            "Serving instances of each stage that are up.",
            "short",
            Query(aggregate("sum", UP, "role"), "{{role}}"),
        ),
        lines(
            "Requests waiting by stage",
            "What waits tells which stage has too few NPUs.",
            "short",
            Query(f"sum by (stage) ({WAITING})", "{{stage}}"),
        ),
    ),
)

AGAIN: Final = Row(
    "What is requeued",
    (
        lines(
            "Preemptions",
            "Sequences that had to leave decode for want of KV room and are computed again, per emulated second.",
            "reqps",
            Query(rate(PREEMPTIONS), "preempted"),
        ),
        lines(
            "Requests requeued",
            "Requests that were requeued because a worker was lost, since the cluster came up.",
            "short",
            Query(f"sum({RETRIES})", "requeued"),
        ),
        lines(
            "Worker restarts",
            "Workers that came back after they were lost, by host, since the cluster came up.",
            "short",
            Query("sum by (host) (supernode_worker_restarts_total)", "{{host}}"),
        ),
    ),
)

HEALTH: Final = Row(
    "The control plane itself",
    (
        lines(
            "Cost of a hop",
            "How late messages between the control plane and the workers come, in wall time; at speed N it counts N "
            "times as much in emulated time.",
            "s",
            *(Query(quantile(level, HOP), name) for name, level in PERCENTILES if name != "p95"),
        ),
        lines(
            "CPU of the control plane",
            "Cores that its process takes, on the wall: scheduling, messages and metrics together.",
            "short",
            Query('sum(rate(process_cpu_seconds_total{job="supernode"}[$__rate_interval]))', "cores"),
        ),
        lines(
            "Speed",
            "Emulated seconds per wall second.",
            "suffix: x",
            Query("max(supernode_speed_ratio)", "as it says now"),
            Query(f"{wall_rate(EMULATED)} > 0", "over the window"),
        ),
        lines(
            "Runs",
            "Replays that ended, by outcome, since the cluster came up.",
            "short",
            Query("sum by (outcome) (supernode_runs_total)", "{{outcome}}"),
            width=12,
        ),
        lines(
            "Version and scrapes",
            "One while Prometheus reaches the metrics, by the version that answers.",
            "short",
            Query("max by (version) (supernode_build_info)", "version {{version}}"),
            Query('max(up{job="supernode"})', "scraped"),
            width=12,
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    uid="supernode-scheduler",
    title="Scheduler",
    description="What the scheduler decides, how it spreads work over instances, what is requeued, and what it costs "
    "itself.",
    choices=CHOICES,
    rows=(OVERVIEW, DECIDED, PREDICTED, SPREAD, PLAN, AGAIN, HEALTH),
)
