"""The networks of a supernode: links and parts, and fair shares of what they carry.

Reading order: `topology`; its data in `topologies`; `max_min` (who gets how much of a link).
"""
