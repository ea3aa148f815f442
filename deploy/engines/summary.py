"""What an engine served, as a line for a person."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scheduler.core.request_table import RequestTable
from scheduler.metrics.records import Records


def summary(table: RequestTable) -> str:
    """Requests, medians of their latencies in emulated seconds, and the share of their prompts that was cached."""
    records = Records(table)
    finished = records.is_finished
    num_finished, num_others = int(finished.sum()), int((~finished).sum())
    line = f"{num_finished:,} requests finished"
    if num_others:
        line += f", {num_others:,} did not"
    if not num_finished:
        return line
    cached = records.cached_tokens[finished].sum() / records.prompt_tokens[finished].sum()
    return (
        f"{line}; TTFT p50 {_median_ms(records.ttft_s[finished])}, TPOT p50 {_median_ms(records.tpot_s[finished])}, "
        f"{cached:.1%} of prompt tokens cached"
    )


def _median_ms(seconds: npt.NDArray[np.float64]) -> str:
    known = seconds[~np.isnan(seconds)]
    return f"{float(np.median(known)) * 1e3:,.2f} ms" if len(known) else "-"
