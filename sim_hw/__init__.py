"""The physics: what the emulated hardware is, how long work takes on it, what fits in it and what it draws.

Reading order: `figure` (a number with its parent); `hardware` and `models` (what there is), `catalog` (both by name);
`operators` (what one piece of work takes), `phases` (a step or pass, and what is predicted of it); `validation` holds
that against what was published, `engine` makes of it what engines run on, `network` what flows share.

Pure functions and frozen data; nothing here imports another package of this project.
"""
