"""The physics: what the emulated hardware is, how long work takes on it, what fits in it and what it draws.

Reading order: `figure` (a number with its source) and `catalog` (entries by name); what there is: `chips`, `clusters`,
`models`; what it does: `operators` (one piece of work), `steps` (a decode step or prefill pass, and what is predicted
of it), `network` (what links carry), `power` (what chips, parts and buildings draw), `cost` (what that is in dollars).
Of these, `instance` makes what emulated instances run on, and `validation` holds them against what was published.
`description` reads chips and clusters of a user's own, `sources` spells out the short names of sources.

Pure functions and frozen data; nothing here imports another package of this project.
"""
