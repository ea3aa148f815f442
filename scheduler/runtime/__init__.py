"""What gives components time and carries their messages.

Reading order: `scheduler.protocol.component` (what a component is) and `scheduler.protocol.stepper` (the order in which
components do things, on either clock), then `virtual`, `journal` and `live` (with `clock`, `peer` and `hops`).
`random_streams` is where all random generators are made.
"""
