"""AIPerf's `mooncake_trace`, as far as it is token counts: a fixed schedule, or sessions.

Its ids name the text of a block or a chain, as whoever made the file liked. Where sessions are closed loops, later
turns add to the prompts before them, as in AIPerf; at fixed times each row stands for its whole request, as in the
files that Dynamo and Bailian write.
Source: ai-dynamo/aiperf, docs/benchmark-modes/trace-replay.md and aiperf/dataset/generator/prompt.py.
"""

from __future__ import annotations

from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.json_rows import JsonFormat
from scheduler.sources.traces.time_units import WHOLE_MILLISECONDS
from scheduler.sources.traces.unread import HARMLESS

FORMATS.register(
    "aiperf",
    JsonFormat(
        time="timestamp",
        unit=WHOLE_MILLISECONDS,
        prompt_tokens="input_length",
        output_tokens="output_length",
        block_ids="hash_ids",
        marks=("session_id", "text_input", "messages", "message_mode", "tools", "extra"),
        adds_to_session=True,
        harmless=HARMLESS,
    ),
)
