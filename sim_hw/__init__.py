"""The physics: what the emulated hardware is, how long work takes on it, what fits in it and what it draws.

Reading order: `figure` (a number with its parent), `catalog` (the hardware), `model_shape` (the model), `memory` (what
fits), `serving_cost` (how long a pass or a step lasts), `power` (watts and joules), `fabric_rates` (bytes per second).

Pure functions and frozen data; nothing here imports another package of this project.
"""
