"""The physics: what the emulated hardware is, how long work takes on it, what fits in it and what it draws.

Reading order: `figure` (a number with its parent); the hardware, `chip` and `supernode`, with its data in `chips` and
`supernodes`; the model, `model_attention` and `model_shape`, with its data in `models`; `catalog` (both by name). A
user's own come through `description`, `huggingface` and `mindformers`. Then `operating_point` (the questions) and
`predict` (the answers) with all it calls; `validate` holds them against what was published. Engines run on `memory`
(what fits), `serving_cost` (how long a pass or a step lasts), `power` (watts and joules), `fabric_rates`
and `max_min` (fair shares of links); `topology`, with its data in `topologies`, knows every link and part.

Pure functions and frozen data; nothing here imports another package of this project.
"""
