"""The control plane: what a real serving scheduler for a supernode would run.

Reading order: `protocol` (the messages), `core.scheduler` (the state machine), `policies` (the choices),
`runtime.virtual` (what gives it time), `sources` (who speaks to it), `metrics` (what came of it).

Nothing here imports `ray`, `workers`, `sim_hw` or `deploy`.
"""
