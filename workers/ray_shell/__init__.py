"""Hosts components in Ray actors: the only place in the request path that knows Ray.

Reading order: `host_loop` (what a host does, without Ray), `host` (the actor), `carrier` and `transport` (how the
control plane reaches it, without Ray and with it), `identity` (are both ends the same program?), `failures`.
"""
