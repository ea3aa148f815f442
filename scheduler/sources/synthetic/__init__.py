"""Synthetic workloads: seeded, vectorised by columns, streamed in blocks.

Reading order: `workload` (what can be asked for), `load` (a YAML file or flags to that; below it `section` and
`settings_file`; `clients` reads who waits for answers), `generate` (the way in), then `arrivals` (when; below it
`rates`), `lengths` (how long; below it `log_normal`), `sessions` (multi-turn with shared prefixes), `agents` (graphs of
calls; below both `columns`), `servegen` (published clients; below it `servegen_lengths`).
"""
