"""Requests as OpenTelemetry's conventions for generative AI name them, in the form that Prometheus gives such names.

Source: open-telemetry/semantic-conventions-genai, `docs/gen-ai/gen-ai-metrics.md` (status: development).
"""

from __future__ import annotations

from typing import Final

from scheduler.metrics.bucket_bounds import GENAI_DURATION_BOUNDS_S, GENAI_TPOT_BOUNDS_S, GENAI_TTFT_BOUNDS_S
from scheduler.metrics.buckets import reads
from scheduler.metrics.family import HistogramFamily, Labels
from scheduler.metrics.layout import Layout
from scheduler.metrics.subjects.latencies import E2E_GRID_S, TPOT_GRID_S, TTFT_GRID_S, LatencyTotals

ABOUT: Final = (
    "Points in names are underscores, and the unit is part of the name, as Prometheus has it. The operation is always "
    "`text_completion` and the provider `supernode`; the model is the served one. Times are emulated seconds."
)

_LABELS: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


def _series(layout: Layout) -> tuple[Labels]:
    return (("text_completion", "supernode", layout.model),)


_TTFT: Final = reads(TTFT_GRID_S, GENAI_TTFT_BOUNDS_S)
_TPOT: Final = reads(TPOT_GRID_S, GENAI_TPOT_BOUNDS_S)
_DURATION: Final = reads(E2E_GRID_S, GENAI_DURATION_BOUNDS_S)

FAMILIES: Final[tuple[HistogramFamily, ...]] = (
    HistogramFamily(
        "gen_ai_server_request_duration_seconds", "Duration of a request on the server.",
        GENAI_DURATION_BOUNDS_S, lambda s: (_DURATION(s[LatencyTotals].e2e_s),), _LABELS, _series,
        "Arrival to last token, of finished requests.",
    ),
    HistogramFamily(
        "gen_ai_server_time_to_first_token_seconds", "Time to generate the first token.",
        GENAI_TTFT_BOUNDS_S, lambda s: (_TTFT(s[LatencyTotals].ttft_s),), _LABELS, _series,
        "As `supernode_time_to_first_token_seconds`.",
    ),
    HistogramFamily(
        "gen_ai_server_time_per_output_token_seconds", "Time per output token after the first.",
        GENAI_TPOT_BOUNDS_S, lambda s: (_TPOT(s[LatencyTotals].tpot_s),), _LABELS, _series,
        "As `supernode_time_per_output_token_seconds`: one value per finished request.",
    ),
)  # fmt: skip
