"""What gives components time and carries their messages.

Reading order: `virtual`, `journal`, `live` (with `clock` and `hops`).
"""
