"""The aggregated instance: prompts are computed and decoded in the same steps, in the same memory.

Reading order: `instance` (the component), `step_cost` (what it asks of the hardware model), `prompt_work` (energy),
`mixed_governor` (a power budget), `config`. It is a decode instance (`workers.decode`) with a queue of prompts
(`workers.prefill.prompt_queue`).
"""
