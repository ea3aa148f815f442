"""How long an instance takes before it begins to load its model, which nobody has published for NPUs.

What is modelled is not part of it: the weights come over the fabric from where they lie, beside the traffic of others
(`deploy/system/weight_channels.py`). Measured starts of others, such as the 5 s of a warm start and the 320 s of a cold
one in the CloudMatrix-Infer paper's table on model caching, are times of that load alone.
"""

from __future__ import annotations

from typing import Final

from sim_hw.figure import Confidence, Figure

PROCESS_START: Final = Figure(
    30.0,
    "s",
    "assumption: a container from an image that is on the node, Python and its libraries, collective groups over the "
    "fabric, capture of graphs; nothing is published of it for NPUs",
    Confidence.ESTIMATE,
)
"""From the command to start an instance until its process is there and begins to load its model."""
