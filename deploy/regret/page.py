"""Regret as people read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deploy.hardware.quantities import quantity
from deploy.regret.counterfactuals import ATTAINMENT, E2E, TTFT
from deploy.regret.regret import Judged, Regret
from deploy.terminal.table import table

NAMES: Final = {TTFT: "TTFT mean", E2E: "E2E mean", ATTAINMENT: "SLO missed"}


def regret_block(regrets: Sequence[tuple[str, Regret]]) -> str:
    """A row for each figure of each set-up, and the worst decisions of each."""
    first = regrets[0][1]
    title = f"Regret over the next {first.horizon} requests"
    rows: list[tuple[str, ...]] = [(title, "figure", "regret", "+- 95 %", "was best", "any other costs", "+- 95 %")]
    for name, one in regrets:
        for path, mean in one.regret.items():
            even = one.spread[path]
            half, even_half = mean.high - mean.mean, even.high - even.mean
            cells = _shown(path, mean.mean), _shown(path, half), f"{one.was_best[path]:.0%}"
            sign = "-" if even.mean < 0 else "+" if even.mean > 0 else ""
            more = sign + _shown(path, abs(even.mean)), _shown(path, even_half)
            rows.append((f"  {name}", NAMES[path], *cells, *more))
    blocks = [table(rows, (2, 3, 4, 5, 6))] if len(rows) > 1 else []
    for name, one in regrets:
        if not one.regret:
            blocks.append(f"{name}: regret not known, {one.num_decisions} decisions had a choice")
        elif one.worst:
            blocks.append(_worst(name, one))
    return "\n\n".join(blocks)


def _worst(name: str, regret: Regret) -> str:
    rows = [(f"Worst of {name}", "at", "chosen", "better", "E2E", "TTFT", "reason")]
    rows += [_row(one) for one in regret.worst]
    counted = f"  {regret.num_sampled} of {regret.num_decisions:,} decisions, {regret.num_trials} other choices tried"
    return f"{table(rows, (1, 4, 5))}\n{counted}"


def _row(one: Judged) -> tuple[str, ...]:
    sampled = one.sampled
    times = (_shown(E2E, one.regret[E2E]), _shown(TTFT, one.regret[TTFT]))
    at = f"{sampled.arrived_ns / 1e9:.3f} s"
    return (f"  request {sampled.request_id}", at, sampled.instance, one.best, *times, sampled.reason)


def _shown(path: str, value: float) -> str:
    if path == ATTAINMENT:
        return f"{100 * value:.2f} %"
    return quantity(value, "s") if value else "0 s"
