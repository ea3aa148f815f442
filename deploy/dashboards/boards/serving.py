"""The dashboard "Serving": does it keep its limits, how long do requests take, what comes in and what goes out."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.boards.shared import (
    ARRIVED,
    CLASS_SLO,
    CLIENTS,
    COMPUTED,
    E2E,
    ENDED,
    FINISHED,
    GENERATED,
    ITL,
    PROMPTS,
    QUEUE,
    RUNNING,
    SESSIONS_CLOSED,
    SESSIONS_OPEN,
    SLO,
    SLO_LIMIT,
    TOKENS_PER_S,
    TPOT,
    TTFT,
    WAITING,
    explanation,
    latency,
    output_tokens,
    replay_now,
    speed_now,
)
from deploy.dashboards.panels import Dashboard, Query, Row, heat_map, lines, stat
from deploy.dashboards.promql import bucket_counts, quantile, rate, wall_rate

MET: Final = '{met="yes"}'
CLASS: Final = "request_class"
ATTAINED: Final = f"{wall_rate(SLO, where=MET)} / {wall_rate(SLO)}"
ATTAINED_BY_CLASS: Final = f"{wall_rate(CLASS_SLO, CLASS, MET)} / {wall_rate(CLASS_SLO, CLASS)}"

OVERVIEW: Final = Row(
    "",
    (
        explanation(),
        replay_now(),
        speed_now(),
        stat("Requests finished", "Requests that finished, per emulated second.", "reqps", rate(ENDED, where=FINISHED)),
        output_tokens(),
        stat(
            "SLO attained",
            "Share of the requests that ended which kept every limit of their run (--slo); no data without limits.",
            "percentunit",
            ATTAINED,
        ),
        stat(
            "Goodput",
            "Requests that finished within every limit of their run, per emulated second.",
            "reqps",
            rate(SLO, where=MET),
        ),
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
    ),
)

OBJECTIVES: Final = Row(
    "Service level objectives (of runs with --slo)",
    (
        lines(
            "SLO attainment",
            "Share of requests that kept every limit, of all that ended: what was rejected or failed kept none.",
            "percentunit",
            Query(ATTAINED, "attained"),
            highest=1,
            width=6,
        ),
        lines(
            "Goodput and throughput",
            "Requests per emulated second: that finished, and that finished within every limit.",
            "reqps",
            Query(rate(ENDED, where=FINISHED), "finished"),
            Query(rate(SLO, where=MET), "within the limits"),
            width=6,
        ),
        lines(
            "SLO attainment by class of requests",
            "The same by class, each held to its own limits (classes); default is of requests without a class.",
            "percentunit",
            Query(ATTAINED_BY_CLASS, "{{request_class}}"),
            highest=1,
            width=6,
        ),
        lines(
            "Limits",
            "Limits that the present run is held to.",
            "s",
            Query(f"max by (latency) ({SLO_LIMIT}) > 0", "{{latency}}"),
            width=6,
        ),
    ),
)

LATENCY: Final = Row(
    "Latency",
    (
        latency("TTFT", TTFT, "From a request's arrival to its first output token."),
        latency("TPOT", TPOT, "Mean time between output tokens after the first, one value per request."),
        latency("ITL", ITL, "Each gap between two output tokens, over all requests."),
        heat_map(
            "TTFT, all requests",
            "How many requests had their first token within each bucket of time; brighter is more.",
            "s",
            bucket_counts(TTFT),
        ),
        heat_map(
            "TPOT, all requests",
            "How many requests had their mean time between tokens within each bucket; brighter is more.",
            "s",
            bucket_counts(TPOT),
        ),
        heat_map(
            "E2E, all requests",
            "How many requests had their last token within each bucket of time; brighter is more.",
            "s",
            bucket_counts(E2E),
        ),
        latency("E2E", E2E, "From arrival to the last output token.", width=12),
        latency("Queue", QUEUE, "From arrival to the start of prefill.", width=12),
    ),
)

TRAFFIC: Final = Row(
    "Traffic",
    (
        lines(
            "Requests",
            "Requests that arrived and that ended, by outcome and reason (those that occur), per emulated second.",
            "reqps",
            Query(rate(ARRIVED), "arrived"),
            Query(f"{rate(ENDED, 'outcome, reason')} > 0", "{{outcome}}: {{reason}}"),
        ),
        lines(
            "Tokens",
            "Per emulated second: prompt tokens of requests whose first token came out, tokens that prefill really "
            "computed (less for cached prefixes, more for recomputation), and output tokens.",
            TOKENS_PER_S,
            Query(rate(PROMPTS), "input"),
            Query(rate(COMPUTED), "computed"),
            Query(rate(GENERATED), "output"),
        ),
        lines(
            "Rejected and failed",
            "Requests that were turned away or did not get their whole answer, by outcome, per emulated second.",
            "reqps",
            Query(rate(ENDED, "outcome", '{outcome=~"rejected|failed"}'), "{{outcome}}"),
        ),
        lines(
            "Requests running",
            "Requests being served, by stage: in prefill, having their KV cache handed over, or decoding.",
            "short",
            Query(f"sum by (stage) ({RUNNING})", "{{stage}}"),
            width=12,
        ),
        lines(
            "Requests waiting",
            "Requests waiting for a stage to take them.",
            "short",
            Query(f"sum by (stage) ({WAITING})", "{{stage}}"),
            width=12,
        ),
    ),
)

CLIENTS_THAT_WAIT: Final = Row(
    "Clients that wait (of runs with --concurrency or closed sessions)",
    (
        lines(
            "Requests in flight",
            "Requests that arrived and have not ended, and how many clients there are: each has one in flight at most.",
            "short",
            Query(f"sum({RUNNING}) + sum({WAITING})", "in flight"),
            Query(f"max by (request_class) ({CLIENTS})", "clients: {{request_class}}"),
        ),
        lines(
            "Sessions open",
            "Conversations and tasks that have begun and of which more is to come.",
            "short",
            Query(f"max({SESSIONS_OPEN})", "open"),
        ),
        lines(
            "Sessions closed",
            "Sessions of which nothing more comes, done or given up, per emulated second.",
            "si:sessions/s",
            Query(rate(SESSIONS_CLOSED), "closed"),
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    uid="supernode-serving",
    title="Serving",
    description="Limits kept, goodput, latencies, traffic and queues of an emulated supernode.",
    choices=(),
    rows=(OVERVIEW, OBJECTIVES, LATENCY, TRAFFIC, CLIENTS_THAT_WAIT),
)
