"""Whoever speaks to the core from outside is a source: a component that sends it messages when they are due.

Sources play traces, break and repair what the system stands on, and tell what was measured before the run; whoever
reacts to the system (a client that waits for its answer) will be one too. A source is told how a run ends, and has no
deadline once it has nothing to send.

Reading order: `arrivals` (requests as columns), `trace_source` (the source that plays them), `traces` (where they come
from), `synthetic` (requests to generate); then `faults`, `worker_losses` and `profiler`.
"""
