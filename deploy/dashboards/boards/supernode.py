"""The dashboard "Supernode": 384 NPUs by rack, node and instance, their KV and the cache pool."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.boards.shared import (
    AT_INSTANCE,
    BUSY,
    CACHE_HIT,
    CACHE_LOOKUP,
    CHOICES,
    KV_USAGE,
    LOST,
    TOKENS_PER_S,
    UP,
    UTILIZATION,
    WATTS,
    explanation,
    npu_power,
    of_those_there,
    replay_now,
    speed_now,
)
from deploy.dashboards.cache_row import cache_row
from deploy.dashboards.cluster_row import cluster_row
from deploy.dashboards.panels import Dashboard, Query, Row, history, lines, stat
from deploy.dashboards.promql import CHOSEN, OF_DECODE, OF_PREFILL, aggregate, by_place, rate, ratio
from deploy.dashboards.scaling_row import scaling_row

DECODE_RUNNING: Final = f'sum({AT_INSTANCE}{{role=~"decode|aggregated",state="running"}})'
PREFILL_BUSY: Final = of_those_there(UTILIZATION + OF_PREFILL)
UP_OF_EACH: Final = aggregate("max", f"{UP}{CHOSEN} == 1", "instance")
LOST_OF_EACH: Final = aggregate("max", f"{LOST}{CHOSEN} == 1", "instance")

OVERVIEW: Final = Row(
    "",
    (
        explanation("**Role** and **instance** are chosen at the head."),
        replay_now(),
        speed_now(),
        stat("NPUs", "NPUs of all instances.", "none", f"count({of_those_there(WATTS)})"),
        stat("Prefill busy", "Mean busy share of prefill NPUs.", "percentunit", f"avg({PREFILL_BUSY})"),
        stat(
            "Decode busy",
            "Mean busy share of decode NPUs: of time in which a step runs, however few sequences are in it. How full "
            "decode is shows in its batch and in the KV in use.",
            "percentunit",
            f"avg({of_those_there(UTILIZATION + OF_DECODE)})",
        ),
        stat(
            "Decode batch",
            "Sequences that run on a decode NPU, in the mean.",
            "none",
            f"{DECODE_RUNNING} / count({of_those_there(WATTS + OF_DECODE)})",
        ),
        stat(
            "KV in use",
            "The fullest KV cache of a decode instance: what it leaves is room for more.",
            "percentunit",
            f"max({KV_USAGE})",
        ),
        npu_power(),
    ),
)

MAPS: Final = Row(
    "Racks and nodes",
    (
        history(
            "Utilisation of the racks",
            "Mean busy share of the NPUs of each rack: blue idles, red is always busy.",
            "percentunit",
            Query(by_place("avg", UTILIZATION, "rack"), "rack {{rack}}"),
            width=12,
            height=9,
            highest=1,
        ),
        history(
            "Power of the racks",
            "Power of the NPUs of each rack together: blue draws least, red most.",
            "watt",
            Query(by_place("sum", WATTS, "rack"), "rack {{rack}}"),
            width=12,
            height=9,
        ),
        history(
            "Utilisation of the nodes",
            "Mean busy share of the NPUs of each node: blue idles, red is always busy.",
            "percentunit",
            Query(by_place("avg", UTILIZATION, "node"), "node {{node}}"),
            width=12,
            height=20,
            highest=1,
        ),
        history(
            "Power of the nodes",
            "Power of the NPUs of each node together: blue draws least, red most.",
            "watt",
            Query(by_place("sum", WATTS, "node"), "node {{node}}"),
            width=12,
            height=20,
        ),
    ),
)

INSTANCES: Final = Row(
    "Instances",
    (
        lines(
            "Utilisation by role",
            "Busy share of time of the NPUs of each role, over the last stretch of a second.",
            "percentunit",
            Query(aggregate("avg", of_those_there(UTILIZATION + CHOSEN), "role"), "{{role}}"),
            highest=1,
            width=12,
        ),
        lines(
            "Utilisation by instance",
            "Busy share of emulated time of each serving instance, over the whole window.",
            "percentunit",
            Query(rate(BUSY, "instance", CHOSEN), "{{instance}}"),
            highest=1,
            width=12,
        ),
        history(
            "Instances up",
            "Whether the worker of each serving instance is there (green) or lost (red); nothing of those that nobody "
            "has started, or that were told to end.",
            "none",
            Query(f"{UP_OF_EACH} or 0 * {LOST_OF_EACH}", "{{instance}}"),
            width=24,
            height=10,
            names={"0": "Down", "1": "Up"},
        ),
    ),
)

MEMORY: Final = Row(
    "KV and cache",
    (
        lines(
            "KV usage",
            "Tokens in the KV cache of each decode instance, as a share of what it can hold.",
            "percentunit",
            Query(f"{KV_USAGE}{CHOSEN}", "{{instance}}"),
        ),
        lines(
            "Cache hit rate",
            "Share of the prompt tokens of prefills that began in the window which came from the prefix cache.",
            "percentunit",
            Query(ratio(CACHE_HIT, CACHE_LOOKUP), "hit"),
            highest=1,
        ),
        lines(
            "Cache tokens",
            "Prompt tokens per emulated second of prefills that began, and those of them from the prefix cache.",
            TOKENS_PER_S,
            Query(rate(CACHE_LOOKUP), "looked up"),
            Query(rate(CACHE_HIT), "hit"),
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    uid="supernode",
    title="Supernode",
    description="Racks, nodes and instances of an emulated supernode: utilisation, power, KV and the prefix cache.",
    choices=CHOICES,
    rows=(OVERVIEW, MAPS, INSTANCES, cluster_row(), scaling_row(), MEMORY, cache_row()),
)
