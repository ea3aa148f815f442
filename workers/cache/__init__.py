"""The cache of prefix KV: what holds the blocks, and where.

Reading order: `pool` (the component), `store` (blocks on servers, with `sizes` and `account`), `run_tree` (its blocks
as runs, in one order of eviction), `tiers` (its blocks one by one, with `tier`: one kind of memory, and its order of
eviction), `ring` (which server holds a block), `block_keys` (ids of a trace as blocks of another size), `curve` (hit
rate against capacity), `clairvoyant` (what no policy can exceed). Where a policy is asked: `session_store` and
`session_pool`, with `ranked_tiers` and `ranked_tier`.
"""
