"""Traces of splitwise-sim: seconds, and sizes of prompt and output in tokens.

Its generator writes `batch_size` 1 and one type in all rows. Source: Mutinifni/splitwise-sim, generate_trace.py.
"""

from __future__ import annotations

from scheduler.sources.traces.csv_rows import CsvFormat
from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.time_units import SECONDS

FORMATS.register(
    "splitwise",
    CsvFormat(
        time="arrival_timestamp",
        unit=SECONDS,
        prompt_tokens="prompt_size",
        output_tokens="token_size",
        harmless=("request_id", "request_type", "application_id", "batch_size"),
    ),
)
