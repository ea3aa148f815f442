"""The control plane: what a real serving scheduler for a supernode would run.

Reading order: `protocol` (the words), `core.scheduler` (the state machine), `policies` (the choices),
`runtime.virtual` (the loop that gives it time), `gateway` (the ways in), `metrics` (what came of it).

Nothing here imports `ray`, `workers`, `sim_hw` or `deploy`.
"""
