"""The cache of prefix KV: what holds the blocks, and where.

Reading order: `pool` (the component), `store` (blocks on servers, with `sizes` and `account`), `shards` (blocks by
server), `tier` (one memory of one server, with its order of eviction), `ring` (which server holds a block),
`block_keys` (ids of a trace as blocks of another size), `run_tree` (what a store is while it has room for everything),
`fill` (how it knows that it has), `curve` (hit rate against capacity).
"""
