"""Vidur's traces, into which those of Splitwise were made as well: seconds, and tokens of prefill and decode.

Source: microsoft/vidur, data/processed_traces (splitwise_conv.csv, splitwise_code.csv); files there without
`arrived_at` hold lengths alone.
"""

from __future__ import annotations

from scheduler.sources.traces.csv_rows import CsvFormat
from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.time_units import SECONDS

FORMATS.register(
    "vidur",
    CsvFormat(
        time="arrived_at",
        unit=SECONDS,
        prompt_tokens="num_prefill_tokens",
        output_tokens="num_decode_tokens",
        harmless=("num_total_tokens", "pd_ratio"),
    ),
)
