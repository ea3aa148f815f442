"""BurstGPT CSV: seconds from midnight of the first day, token counts, and failures as rows of 0 response tokens.

Releases differ in the other columns, which say nothing of when a request came or how long it is.
Source: github.com/HPMLL/BurstGPT, README of release v1.2.
"""

from __future__ import annotations

from scheduler.sources.traces.csv_rows import CsvFormat
from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.time_units import SECONDS

FORMATS.register(
    "burstgpt",
    CsvFormat(
        time="Timestamp",
        unit=SECONDS,
        prompt_tokens="Request tokens",
        output_tokens="Response tokens",
        logs_failures=True,
        session="Session ID",
        harmless=("Session ID", "Elapsed time", "Model", "Total tokens", "Log Type"),
    ),
)
