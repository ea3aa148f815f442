"""A proxy's log as CSV: the trace format of the exercise, as it would stand in `scheduler/sources/traces/formats/`."""

from __future__ import annotations

from scheduler.sources.traces.csv_rows import CsvFormat
from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.time_units import MILLISECONDS

FORMATS.register(
    "proxy_log",
    CsvFormat(
        time="start_ms",
        unit=MILLISECONDS,
        prompt_tokens="tokens_in",
        output_tokens="tokens_out",
        class_name="tier",
        logs_failures=True,
    ),
)
