"""Dynamo's replay rows: Mooncake's, whose fields may have other names, and agentic ones, which are refused.

Source: ai-dynamo/dynamo, docs/benchmarks/dynosim-runs.md.
"""

from __future__ import annotations

from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.json_rows import JsonFormat
from scheduler.sources.traces.time_units import WHOLE_MILLISECONDS
from scheduler.sources.traces.unread import HARMLESS

FORMATS.register(
    "dynamo",
    JsonFormat(
        time="timestamp",
        unit=WHOLE_MILLISECONDS,
        prompt_tokens="input_length",
        output_tokens="output_length",
        block_ids="hash_ids",
        also={"created_time": "timestamp", "input_tokens": "input_length", "output_tokens": "output_length"},
        marks=(
            "created_time",
            "input_tokens",
            "output_tokens",
            "delay_ms",
            "wait_for",
            "tool_wait_ms",
            "branches",
            "prefix_reset",
        ),
        harmless=HARMLESS,
    ),
)
