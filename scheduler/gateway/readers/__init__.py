"""Trace readers: a file of requests in any known format becomes a stream of column blocks.

Reading order: `options` (what a caller gives and gets), `registry` (`open_trace`), `files` (which format is it),
`rows` (the loop that all formats share), then one file a format: `mooncake`, `azure`, `burstgpt`. Below them `lines`
(bytes to lines) and `csv_table`; behind them `reshape` (superposition and rate scale).
"""
