"""The subjects of metrics, a file each, which registers itself; `scheduler.metrics.subject` says what a subject is.

Reading order: `requests` and `slo`, in which both ways of measuring share all their code; `caches` and `fabric`, which
share what they count; `latencies`, whose definitions are the columns of `scheduler.metrics.records`; then `tokens`,
`instances` and `engines` (the same told apart by instance), `energy` with `energy_account`, `predictions`, `decisions`
and `clock`.
"""
