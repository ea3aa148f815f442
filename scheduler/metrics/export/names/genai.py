"""Requests as OpenTelemetry's conventions for generative AI name them, in the form that Prometheus gives such names.

Source: open-telemetry/semantic-conventions-genai, `docs/gen-ai/gen-ai-metrics.md` (status: development).
"""

from __future__ import annotations

from typing import Final

from scheduler.metrics.buckets import DURATION_BOUNDS_S, TOKEN_BOUNDS_S, TTFT_BOUNDS_S, HistogramTotals
from scheduler.metrics.family import HistogramFamily, Labels
from scheduler.metrics.layout import Layout
from scheduler.metrics.subjects.latencies import LatencyTotals

ABOUT: Final = (
    "Points in names are underscores, and the unit is part of the name, as Prometheus has it. The operation is always "
    "`text_completion` and the provider `supernode`; the model is the served one. Times are emulated seconds."
)

TTFT_END_S: Final = 10.0
TPOT_END_S: Final = 2.5
"""The advised buckets are those of vLLM up to these bounds."""

_LABELS: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


def _series(layout: Layout) -> tuple[Labels]:
    return (("text_completion", "supernode", layout.model),)


def _up_to(end_s: float, bounds_s: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(bound for bound in bounds_s if bound <= end_s)


def _cut(totals: HistogramTotals, num_bounds: int) -> tuple[HistogramTotals]:
    """The histogram without its buckets beyond the first so many bounds."""
    return (HistogramTotals((*totals.counts[:num_bounds], totals.counts[-1]), totals.sum_s),)


_TTFT: Final = _up_to(TTFT_END_S, TTFT_BOUNDS_S)
_TPOT: Final = _up_to(TPOT_END_S, TOKEN_BOUNDS_S)

FAMILIES: Final[tuple[HistogramFamily, ...]] = (
    HistogramFamily(
        "gen_ai_server_request_duration_seconds", "Duration of a request on the server.",
        DURATION_BOUNDS_S, lambda s: (s[LatencyTotals].duration_s,), _LABELS, _series,
        "Arrival to last token, of finished requests.",
    ),
    HistogramFamily(
        "gen_ai_server_time_to_first_token_seconds", "Time to generate the first token.",
        _TTFT, lambda s: _cut(s[LatencyTotals].ttft_s, len(_TTFT)), _LABELS, _series,
        "As `supernode_time_to_first_token_seconds`.",
    ),
    HistogramFamily(
        "gen_ai_server_time_per_output_token_seconds", "Time per output token after the first.",
        _TPOT, lambda s: _cut(s[LatencyTotals].tpot_s, len(_TPOT)), _LABELS, _series,
        "As `supernode_time_per_output_token_seconds`: one value per finished request.",
    ),
)  # fmt: skip
