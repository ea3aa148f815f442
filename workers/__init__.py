"""The data plane: emulated engines, fabric and cache pool as sans-IO components, and the Ray shell that hosts them.

Reading order: `prefill`, `decode` (with `step_line`, `step_run` and `decode_memory`), `fabric` (with `shared_links`),
`cache`, `oracle`.
"""
