"""The decode instance: continuous batching over data-parallel dies in lockstep.

Reading order: `instance` (the component), `expected_tokens` (how sequences grow), `step_cost` (how long a step lasts),
`step_run` (many steps at once), `memory` (KV room on the dies) and `reservations` (its messages), `sequences`, `meter`
(energy), `step_governor` (a power budget), `config`.
"""
