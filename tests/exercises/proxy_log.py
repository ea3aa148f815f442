"""A proxy's log as CSV: the trace format of the exercise, as it would stand in `scheduler/sources/traces/formats/`."""

from __future__ import annotations

from scheduler.sources.traces.csv_rows import CsvFormat
from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.time_units import decimal_unit

FORMATS.register(
    "proxy_log",
    CsvFormat(
        time="start_ms",
        unit=decimal_unit("milliseconds", ns_per_unit=1_000_000, max_digits=12),
        prompt_tokens="tokens_in",
        output_tokens="tokens_out",
        class_name="tier",
        logs_failures=True,
        harmless=("id",),
    ),
)
