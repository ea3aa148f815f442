"""A Ray node of our own on this machine: `local_cluster` starts and ends it, `node_watch` looks after its processes,
`footprint` says what it takes of the machine.
"""
