"""Money: what a run costs, from what was used. No physics: joules and NPU-seconds come from whoever ran it.

Reading order: `prices` (hardware), `tariffs` (electricity), `run_cost` (dollars per million tokens, break-even).
"""
