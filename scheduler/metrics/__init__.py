"""What is measured of a system, at the end of a run and while it lives, and how it is shown.

Reading order: `subject` says how all of it is built: one file per subject (`subjects`), with its totals, its families
and its part of the summary. `records` defines every latency of a request, `slo` what a limit is; `columns`, `buckets`
and `distribution` are the arithmetic. Then one of the two ways through: `outcome` for a run that has ended (`replay
--json`), `live` for a system that somebody watches, whose `snapshot`, of a `layout`, `export` writes out. No physics:
joules arrive in reports, and what else is drawn is a curve of the `facility`. `bounds` are what a user asks of results.
"""
