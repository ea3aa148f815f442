"""Mooncake JSONL: milliseconds from the start, and one id for each block of 512 prompt tokens, which names all before
it as well.

`class` and `tenant` are this project's own. Source: kvcache-ai/Mooncake, FAST25-release/README.md.
"""

from __future__ import annotations

from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.json_rows import JsonFormat
from scheduler.sources.traces.row_format import IdMeaning
from scheduler.sources.traces.time_units import WHOLE_MILLISECONDS
from scheduler.sources.traces.unread import HARMLESS

FORMATS.register(
    "mooncake",
    JsonFormat(
        time="timestamp",
        unit=WHOLE_MILLISECONDS,
        prompt_tokens="input_length",
        output_tokens="output_length",
        block_ids="hash_ids",
        meaning=IdMeaning.CHAIN,
        harmless=HARMLESS,
    ),
)
