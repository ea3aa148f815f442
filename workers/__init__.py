"""The data plane: emulated engines, fabric and cache pool as sans-IO components, and the Ray shell that hosts them.

Reading order: `prefill` (the simplest component), `decode` (begin at `decode.instance`), `fabric` (at `fabric.fabric`),
`cache` (at `cache.pool`); then `oracle` (the only place that knows true output lengths), `power_budget` and `parking`
(what instances do under a power cap), and `ray_shell` (components as Ray actors). Each room's `__init__` goes on.
"""
