"""The naive twin: the whole system again, written from docs/architecture.md and docs/caching.md and not from the code.

One token, one step, one stream at a time; no closed form, and nothing remembered that a scan can find out. It shares
no mechanism of the product, so that a mistake is not made twice. `tests/sim` holds the product to it, nanosecond by
nanosecond.

- `simulation`: start here, at `run_naive`; the core: routing, reservations, transfers, retries
- `prefill`, `decode`: the two engines
- `fabric`: every stream on its own, all shares found anew at every event
- `cache`: blocks as lists, the least recently used first; `caching`: what the core asks of them
- `reads`: reads of the cache pool, and when they are given up
- `parking`: idle instances that give up their model, and the governor that parks them
- `clients`: who waits for answers before it asks again
- `request`: one request, with all that any part knows of it
- `world`: time and messages: a list of what is to be delivered, a scan for what is due next
"""
