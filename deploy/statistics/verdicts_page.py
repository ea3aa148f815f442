"""Verdicts as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deploy.statistics.batches import NUM_BATCHES
from deploy.statistics.seeds_page import NAMES, shown
from deploy.statistics.verdicts import Difference, Verdicts
from deploy.terminal.table import table

BATCH_NAMES: Final = {
    "ttft_s.mean": "TTFT mean",
    "tpot_s.mean": "TPOT mean",
    "e2e_s.mean": "E2E mean",
    "slo.attainment": "SLO attained",
}


def verdicts_block(judged: Sequence[tuple[str, Verdicts]], num_seeds: int) -> str:
    """A row for each figure; for each set-up the difference to the first, its 95 % interval, and the verdict."""
    first = judged[0][1]
    names = NAMES if first.basis == "seeds" else BATCH_NAMES
    over = f"{num_seeds} seeds" if first.basis == "seeds" else f"{NUM_BATCHES} batches of the trace"
    header = [f"Against {first.against}, over {over}"]
    for name, _ in judged:
        header += [name, "+- 95 %", "verdict"]
    rows: list[list[str]] = [header]
    for path, name in names.items():
        if any(path in verdicts.figures for _, verdicts in judged):
            rows.append([f"  {name}", *[cell for _, verdicts in judged for cell in _cells(path, verdicts)]])
    lines = [table(rows, [at for at in range(1, len(header)) if at % 3])] if len(rows) > 1 else []
    lines += [f"{name}: no verdict against {one.against}: {one.why_not}" for name, one in judged if one.why_not]
    return "\n".join(lines)


def _cells(path: str, verdicts: Verdicts) -> tuple[str, str, str]:
    one = verdicts.figures.get(path)
    if one is None:
        return "-", "-", "-"
    mean, half = one.interval.mean, one.interval.high - one.interval.mean
    sign = "+" if mean > 0 else "-" if mean < 0 else ""
    return f"{sign}{shown(path, abs(mean))}", shown(path, half), _verdict(path, one)


def _verdict(path: str, one: Difference) -> str:
    """With how far the model of the hardware may be off, where the set-ups do not share that."""
    if one.prediction_error is None or one.verdict == "no difference shown":
        return one.verdict
    where = "within" if one.is_within_prediction_error else "beyond"
    return f"{one.verdict}, {where} the model's {shown(path, one.prediction_error)}"
