"""What came of a run: one record per request, percentiles, goodput, energy, and how they are shown.

Reading order: `collector` (logs a row per report while the run goes), `records` (defines every latency of a request),
`gaps` (inter-token latency), `usage` (busy time, energy, fabric), `summary` (all of it as `replay --json` says it),
then `table` (the same for people), `slo` and `bounds` (what a user asks of it). No physics: joules arrive in reports.

While a system lives: `live_totals` (adds up as messages come, with `live_instances` and `buckets`), `snapshot` (what it
has come to at one instant), `families` (the catalogue of what is exported), `exposition` and `registry` (two forms).
"""
