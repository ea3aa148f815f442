"""`timed_trace` of `vllm bench serve`: Mooncake's fields, seconds with decimals, and ids of 16 prompt tokens.

The client makes the same text of the same id wherever it stands. A file in other units or sizes, for which vLLM has
`--timed-trace-sec-multiplier` and `--timed-trace-chunk-hash-size`, needs `--time-unit` and `--tokens-per-id` here.
Source: vllm-project/vllm, docs/benchmarking/cli.md (0.23 and later).
"""

from __future__ import annotations

from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.json_rows import JsonFormat
from scheduler.sources.traces.row_format import IdMeaning
from scheduler.sources.traces.time_units import SECONDS
from scheduler.sources.traces.unread import HARMLESS

FORMATS.register(
    "vllm_timed_trace",
    JsonFormat(
        time="timestamp",
        unit=SECONDS,
        prompt_tokens="input_length",
        output_tokens="output_length",
        block_ids="hash_ids",
        tokens_per_id=16,
        meaning=IdMeaning.TEXT,
        harmless=HARMLESS,
        needs_decimals=True,
    ),
)
