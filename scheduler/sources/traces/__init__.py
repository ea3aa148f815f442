"""Traces: opening and reading them, writing them, what one is like, and how one is reshaped.

Reading order: `registry` (`open_trace`), `options` (what a user may say), `row_format`, `format` and `formats` (what
each format declares), `files` (which one a file has), `rows` (the loop over batches of rows), `csv_rows` and
`json_rows` (the rules of a row), `identity` (what ids of blocks mean), `sessions` (what rows wait for), `unread` and
`tenants`; then `shaping`, `describe`, `encoders` and `writers`.
"""
