"""The dashboard "Energy & cost": what is drawn, by whom, and what a token takes of it."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.boards.shared import (
    CHOICES,
    ENDED,
    ENERGY,
    FINISHED,
    GENERATED,
    PROMPTS,
    WATTS,
    explanation,
    npu_power,
    output_tokens,
    replay_now,
    speed_now,
)
from deploy.dashboards.panels import Dashboard, Query, Row, history, lines, stat
from deploy.dashboards.promql import CHOSEN, aggregate, by_place, rate, ratio, wall_rate

PER_TOKEN: Final = "si:J/tok"
PREFILL: Final = '{role="prefill"}'
DECODE: Final = '{role="decode"}'
PER_REQUEST: Final = f"{wall_rate(ENERGY)} / {wall_rate(ENDED, where=FINISHED)}"

OVERVIEW: Final = Row(
    "",
    (
        explanation("Energy is that of the **NPUs** only."),
        replay_now(),
        speed_now(),
        npu_power(),
        stat("Power per NPU", "Mean power of one NPU.", "watt", f"avg({WATTS})"),
        stat("Per output token", "Joules of all NPUs per output token.", PER_TOKEN, ratio(ENERGY, GENERATED)),
        stat("Per request", "Joules of all NPUs per finished request.", "joule", PER_REQUEST),
        stat("Energy so far", "Joules of all NPUs since the cluster came up.", "joule", f"sum({ENERGY})"),
        output_tokens(),
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
            "Power by instance",
            "Power of the NPUs of each instance over the window: joules by emulated seconds.",
            "watt",
            Query(rate(ENERGY, "instance", CHOSEN), "{{instance}}"),
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
            "Joules of all NPUs over output tokens of the window.",
            PER_TOKEN,
            Query(ratio(ENERGY, GENERATED), "J per output token"),
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
            "Joules of all NPUs over the requests that finished in the window.",
            "joule",
            Query(PER_REQUEST, "J per finished request"),
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    uid="supernode-energy",
    title="Energy & cost",
    description="Power of the NPUs of an emulated supernode, and the energy that tokens and requests take.",
    choices=CHOICES,
    rows=(OVERVIEW, POWER, TOKENS),
)
