"""The model as emulated instances need it: integers, closed forms and totals. Reading order: `compiled_prefill`,
`compiled_decode` (how long a pass or a step lasts), `kv_room` (what fits), `power` (joules)."""
