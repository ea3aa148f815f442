"""The dashboard "Energy & cost": what is drawn, by whom, and what a token takes of it in joules and dollars."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.boards.shared import (
    ACCOUNTED,
    ALL_ENERGY,
    CHOICES,
    COST_TIME,
    DOLLARS,
    ENDED,
    ENERGY,
    FINISHED,
    GENERATED,
    INSTANCES,
    POWER,
    POWER_CAP,
    PROMPTS,
    UP,
    WATTS,
    explanation,
    npu_power,
    replay_now,
    speed_now,
)
from deploy.dashboards.panels import Dashboard, Query, Row, history, lines, stat
from deploy.dashboards.promql import CHOSEN, aggregate, by_place, ratio, wall_rate

PER_TOKEN: Final = "si:J/tok"
DOLLARS_PER_MTOK: Final = "si:$/Mtok"
PREFILL: Final = '{role="prefill"}'
DECODE: Final = '{role="decode"}'
INPUT: Final = '{side="input"}'
OUTPUT: Final = '{side="output"}'
NPUS: Final = '{part="npu"}'
AT_FEEDS: Final = '{part!="building"}'
PER_REQUEST: Final = f"{wall_rate(ALL_ENERGY)} / {wall_rate(ENDED, where=FINISHED)}"
PER_MTOK_IN: Final = f"1e6 * {wall_rate(DOLLARS, where=INPUT)} / {wall_rate(PROMPTS)}"
PER_MTOK_OUT: Final = f"1e6 * {wall_rate(DOLLARS, where=OUTPUT)} / {wall_rate(GENERATED)}"

OVERVIEW: Final = Row(
    "",
    (
        explanation(
            "The **meter** reads NPUs, all else in the racks and the building; the **feeds** of the supernodes all but "
            "the building, and that is what a power cap holds."
        ),
        replay_now(),
        speed_now(),
        stat("Power at the meter", "Power of everything, the building included.", "watt", f"sum({POWER})"),
        npu_power(),
        stat("Per output token", "Joules at the meter per output token.", PER_TOKEN, ratio(ALL_ENERGY, GENERATED)),
        stat("Input tokens", "Dollars per million prompt tokens.", DOLLARS_PER_MTOK, PER_MTOK_IN),
        stat("Output tokens", "Dollars per million output tokens.", DOLLARS_PER_MTOK, PER_MTOK_OUT),
        stat("Energy so far", "Joules at the meter since the cluster came up.", "joule", f"sum({ALL_ENERGY})"),
    ),
)

MEAN_ACCOUNTED: Final = f"scalar({wall_rate(ACCOUNTED)} / {aggregate('sum', INSTANCES)})"
"""Seconds for which an instance has accounted, on the mean, by those on the wall: joules come with reports, and so must
the time by which they are divided, or the power of what draws the same at all times would waver."""

POWERS: Final = Row(
    "Power",
    (
        lines(
            "Power by part",
            "Power of each class of parts over the last stretch of a second; the top of the stack is the meter.",
            "watt",
            Query(f"sum by (part) ({POWER})", "{{part}}"),
            stacked=True,
            width=16,
        ),
        lines(
            "Power at the feeds and its cap",
            "What the supernodes draw from the building, and the power cap of the present run; 0 without a cap.",
            "watt",
            Query(f"sum({POWER}{AT_FEEDS})", "at the feeds"),
            Query(f"max({POWER_CAP})", "cap"),
        ),
        lines(
            "Power per NPU",
            "Mean power of one NPU of each role over the window: joules by the seconds for which they were accounted.",
            "watt",
            Query(
                f"{ratio(ENERGY, ACCOUNTED, 'role')} * on (role) {aggregate('count', UP, 'role')} "
                f"/ on (role) {aggregate('count', WATTS, 'role')}",
                "{{role}}",
            ),
        ),
        lines(
            "Power by instance",
            "Power of the NPUs of each instance over the window: joules by the seconds for which they were accounted.",
            "watt",
            Query(ratio(ENERGY, ACCOUNTED, "instance", CHOSEN), "{{instance}}"),
        ),
        lines(
            "What NPUs draw it for",
            "Power of the NPUs over the window by phase: work on prefill and on decode, and waiting for work.",
            "watt",
            Query(f"{wall_rate(ALL_ENERGY, 'phase', NPUS)} / {MEAN_ACCOUNTED}", "{{phase}}"),
            stacked=True,
        ),
        history(
            "Power of the racks",
            "Power of the NPUs of each rack together: blue draws least, red most.",
            "watt",
            Query(by_place("sum", WATTS, "rack"), "rack {{rack}}"),
            width=24,
            height=9,
        ),
    ),
)

TOKENS: Final = Row(
    "What a token takes",
    (
        lines(
            "Energy per output token",
            "Joules at the meter, and of the NPUs in the plan alone, over output tokens of the window.",
            PER_TOKEN,
            Query(ratio(ALL_ENERGY, GENERATED), "at the meter"),
            Query(ratio(ENERGY, GENERATED), "NPUs alone"),
        ),
        lines(
            "Energy per token",
            "Joules of prefill NPUs over prompt tokens of the window, and of decode NPUs over output tokens.",
            PER_TOKEN,
            Query(f"{wall_rate(ENERGY, where=PREFILL)} / {wall_rate(PROMPTS)}", "prefill, per prompt token"),
            Query(f"{wall_rate(ENERGY, where=DECODE)} / {wall_rate(GENERATED)}", "decode, per output token"),
        ),
        lines(
            "Energy per request",
            "Joules at the meter over the requests that finished in the window.",
            "joule",
            Query(PER_REQUEST, "J per finished request"),
        ),
        lines(
            "Dollars per million tokens",
            "Capital and electricity of the window over its tokens. A system that idles costs the same.",
            DOLLARS_PER_MTOK,
            Query(PER_MTOK_IN, "input"),
            Query(PER_MTOK_OUT, "output"),
            width=12,
        ),
        lines(
            "Dollars per hour",
            "What an emulated hour costs now, by kind; a rent counts as capital and has paid the electricity.",
            "si:$/h",
            Query(f"3600 * {wall_rate(DOLLARS, 'kind')} / scalar({wall_rate(COST_TIME)})", "{{kind}}"),
            stacked=True,
            width=12,
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    uid="supernode-energy",
    title="Energy & cost",
    description="What an emulated supernode draws, part by part, and what tokens and requests take in joules and "
    "dollars.",
    choices=CHOICES,
    rows=(OVERVIEW, POWERS, TOKENS),
)
