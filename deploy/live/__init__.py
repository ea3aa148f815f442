"""A live run on Ray: its actors, its sessions, its result, and what it shows of itself meanwhile.

Reading order: `run` (a run from end to end), `actors`, `control_plane`, `session`, `parts` (what a replay is made of),
`telemetry`, `exporter` and `shown` (metrics).
"""
