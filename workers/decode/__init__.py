"""The decode instance: continuous batching over data-parallel dies in lockstep.

Reading order: `instance` (the component), `batch` (the sequences that run), `expected_tokens` (how they grow),
`step_cost` (how long a step lasts), `step_run` (many steps at once), `sampled_batch` with `accepted_drafts`,
`token_paths`, `token_ledger` and `sampled_run` (the same where each sequence grows by itself), `memory` (KV room on the dies) and `reservations` (its messages), `sequences`, `meter`
(energy), `step_governor` (a power budget), `config`.
"""
